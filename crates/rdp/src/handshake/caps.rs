//! Capabilities
