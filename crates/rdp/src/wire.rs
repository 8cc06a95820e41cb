//! Outer framing of what we send: TPKT, X.224 data, MCS and fast-path headers. It knows no PDU that goes inside.
