//! H.264 for pictures of a screen that behave like video: OpenH264's encoder behind one safe type.
//!
//! It is a crate of its own because of what it isolates: a C++ library and the unsafe calls into it. It knows nothing of
//! tiles, rates or clients; `engine::codec::h264` does. One stream of Annex B pictures comes out, without B pictures,
//! look-ahead or rate control: the caller chooses each picture's quantiser and says when it needs a key picture. For 4:4:4
//! a stream can hold two kinds of pictures in turn.

mod bits;
mod encoder;
mod pair;
mod slice;

pub use encoder::{Encoder, Error, Kind, Picture};
pub use pair::PairEncoder;
