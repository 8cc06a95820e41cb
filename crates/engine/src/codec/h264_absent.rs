//! Stands in for `h264` in builds without it: there is no stream, so no region is sent as video.

use std::sync::Arc;

use rdpmux_model::Size;
use rdpmux_pixel::Rows;

use crate::VideoForm;

/// Cannot be made.
#[derive(Debug)]
pub enum Stream {}

/// Cannot be made by a stream that cannot.
#[derive(Debug, Clone)]
pub struct Coded {
    /// Annex B byte stream.
    pub data: Arc<[u8]>,
    /// The rest of the chroma.
    pub auxiliary: Option<Arc<[u8]>>,
    /// The quantiser, 0 to 51.
    pub quantizer: u8,
}

impl Stream {
    /// `None`.
    pub fn new(_: Size, _: VideoForm) -> Option<Self> {
        None
    }

    /// Never called.
    pub fn form(&self) -> VideoForm {
        match *self {}
    }

    /// Never called.
    pub fn encode(&mut self, _: Rows<'_>, _: usize) -> Option<Coded> {
        match *self {}
    }
}
