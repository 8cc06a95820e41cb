//! The encoder. All unsafe code of this crate is here: calls through OpenH264's table of functions, and the copy out of
//! its output buffer. Created and used on any thread, by one at a time (`&mut`); it starts no threads of its own.

use std::ffi::{c_int, c_void};
use std::ptr;

use openh264_sys2::{
    API as _, CAMERA_VIDEO_REAL_TIME, CONSTANT_ID, DynamicAPI, ENCODER_OPTION, ENCODER_OPTION_SVC_ENCODE_PARAM_EXT,
    ENCODER_OPTION_TRACE_LEVEL, ISVCEncoder, ISVCEncoderVtbl, LOW_COMPLEXITY, PRO_BASELINE, RC_OFF_MODE, SEncParamExt,
    SFrameBSInfo, SM_SINGLE_SLICE, SSourcePicture, WELS_LOG_QUIET, videoFormatI420, videoFrameTypeI, videoFrameTypeIDR,
    videoFrameTypeP,
};

/// Why a picture or an encoder could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An edge is 0 or no multiple of 16, or the picture too large for level 5.1: more than 36,864
    /// macroblocks, or more than 543 along an edge.
    #[error("H.264 cannot code pictures of {width}x{height}")]
    Size {
        /// Asked-for columns.
        width: usize,
        /// Asked-for rows.
        height: usize,
    },
    /// A plane has fewer bytes than the picture's size asks for.
    #[error("a plane of the picture is too short")]
    Plane,
    /// OpenH264 made a stream of another form than the one that a pair of pictures can be merged from.
    #[error("OpenH264 made a stream of an unknown form")]
    Form,
    /// OpenH264 refused, with its own code.
    #[error("OpenH264 failed in {step}: {code}")]
    Library {
        /// Which call.
        step: &'static str,
        /// What it returned.
        code: i32,
    },
}

/// What a coded picture needs to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: a decoder can start here.
    Key,
    /// The picture before.
    Predicted,
}

/// One 4:2:0 picture: full-size luma rows, then two planes of half the columns and rows.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// Y, Cb and Cr, top row first.
    pub planes: [&'a [u8]; 3],
    /// Bytes from one row to the next in the luma plane; the chroma planes have half of it.
    pub stride: usize,
}

/// One H.264 stream in the making.
pub struct Encoder {
    /// INVARIANT: made by `WelsCreateSVCEncoder`, initialised, destroyed once on drop.
    raw: *mut ISVCEncoder,
    parameters: Box<SEncParamExt>,
    info: Box<SFrameBSInfo>,
    width: usize,
    height: usize,
    pictures: i64,
}

/// Most macroblocks of 16 × 16 pixels per picture: level 5.1.
const MACROBLOCKS: usize = 36_864;
/// Most of them along an edge: the root of eight times as many.
const EDGE: usize = 543;
/// Milliseconds between pictures as OpenH264 is told; with its rate control off they mean nothing.
const INTERVAL: i64 = 33;

// SAFETY: the library keeps no thread-local state and starts no threads with `iMultipleThreadIdc` at 1; all calls go
// through `&mut self`.
unsafe impl Send for Encoder {}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Encoder({}x{})", self.width, self.height)
    }
}

impl Encoder {
    /// A new stream of pictures of `width` × `height` pixels. Its first picture will be a key picture.
    ///
    /// # Errors
    /// [`Error::Size`] if an edge is 0 or no multiple of 16 or the picture too large; [`Error::Library`] if OpenH264 does
    /// not start, for example without memory.
    pub fn new(width: usize, height: usize) -> Result<Self, Error> {
        Self::with_references(width, height, 1)
    }

    /// A stream whose parameter sets have the decoder keep so many pictures, though each refers only to the last one.
    pub(crate) fn with_references(width: usize, height: usize, references: u8) -> Result<Self, Error> {
        let whole = width.is_multiple_of(16) && height.is_multiple_of(16) && width > 0 && height > 0;
        let is_long = width.max(height) / 16 > EDGE;
        if !whole || is_long || (width / 16).saturating_mul(height / 16) > MACROBLOCKS {
            return Err(Error::Size { width, height });
        }
        let mut raw = ptr::null_mut();
        // SAFETY: the call writes one pointer to the place given.
        let code = unsafe { DynamicAPI::from_source().WelsCreateSVCEncoder(&raw mut raw) };
        if code != 0 || raw.is_null() {
            return Err(Error::Library { step: "create", code });
        }
        let mut encoder = Self {
            raw,
            parameters: Box::default(),
            info: Box::default(),
            width,
            height,
            pictures: 0,
        };
        encoder.start(references)?;
        Ok(encoder)
    }

    /// Columns of a picture.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows of a picture.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Codes one picture with `quantizer` (0, the finest, to 51) and appends it to `out` as an Annex B byte stream; a key
    /// picture comes with its parameter sets.
    ///
    /// # Errors
    /// [`Error::Plane`] if a plane is too short, [`Error::Library`] if OpenH264 fails; then `out` is as before and the
    /// stream has to start again with a key picture.
    pub fn encode(&mut self, picture: Picture<'_>, quantizer: u8, key: bool, out: &mut Vec<u8>) -> Result<Kind, Error> {
        self.encode_units(picture, quantizer, key, |_, unit| out.extend_from_slice(unit))
    }

    /// The same, giving each NAL unit of the picture with its start code.
    pub(crate) fn encode_units(
        &mut self,
        picture: Picture<'_>,
        quantizer: u8,
        key: bool,
        unit: impl FnMut(Kind, &[u8]),
    ) -> Result<Kind, Error> {
        let source = self.source(picture)?;
        self.quantize(quantizer)?;
        if key {
            let call = self.table().ForceIntraFrame;
            // SAFETY: `raw` is a live encoder and `call` is from its own table.
            let code = call.map_or(MISSING, |call| unsafe { call(self.raw, true) });
            check("key picture", code)?;
        }
        let call = self.table().EncodeFrame;
        // SAFETY: `raw` is live; `source` points to planes that `source()` checked and that outlive the call, which only
        // reads them; `info` is written.
        let code = call.map_or(MISSING, |call| unsafe {
            call(self.raw, &raw const source, &raw mut *self.info)
        });
        check("encode", code)?;
        self.pictures += 1;
        self.take(unit)
    }

    fn start(&mut self, references: u8) -> Result<(), Error> {
        self.set(ENCODER_OPTION_TRACE_LEVEL, &mut { WELS_LOG_QUIET as c_int })?;
        let table = self.table();
        // SAFETY: `raw` is live; the call fills the parameters that it is given.
        let code = table
            .GetDefaultParams
            .map_or(MISSING, |call| unsafe { call(self.raw, &raw mut *self.parameters) });
        check("defaults", code)?;
        configure(&mut self.parameters, self.width as c_int, self.height as c_int);
        self.parameters.iNumRefFrame = c_int::from(references);
        // SAFETY: `raw` is live; the call reads the parameters.
        let code = table
            .InitializeExt
            .map_or(MISSING, |call| unsafe { call(self.raw, &raw const *self.parameters) });
        check("start", code)
    }

    /// Without rate control the layer's quantiser is the picture's. Setting it does not start the stream anew.
    fn quantize(&mut self, quantizer: u8) -> Result<(), Error> {
        let quantizer = c_int::from(quantizer.min(51));
        if self.parameters.sSpatialLayers[0].iDLayerQp == quantizer {
            return Ok(());
        }
        self.parameters.sSpatialLayers[0].iDLayerQp = quantizer;
        let mut parameters = *self.parameters;
        self.set(ENCODER_OPTION_SVC_ENCODE_PARAM_EXT, &mut parameters)
    }

    fn source(&self, picture: Picture<'_>) -> Result<SSourcePicture, Error> {
        let (stride, half) = (picture.stride, picture.stride / 2);
        let enough = |plane: &[u8], stride: usize, width, height: usize| {
            let last = stride.checked_mul(height - 1).and_then(|rows| rows.checked_add(width));
            stride >= width && c_int::try_from(stride).is_ok() && last.is_some_and(|end| plane.len() >= end)
        };
        let [y, u, v] = picture.planes;
        let chroma = |plane| enough(plane, half, self.width / 2, self.height / 2);
        if !enough(y, stride, self.width, self.height) || !chroma(u) || !chroma(v) {
            return Err(Error::Plane);
        }
        let mut source = SSourcePicture {
            iColorFormat: videoFormatI420,
            iPicWidth: self.width as c_int,
            iPicHeight: self.height as c_int,
            uiTimeStamp: self.pictures * INTERVAL,
            ..SSourcePicture::default()
        };
        source.iStride = [stride as c_int, half as c_int, half as c_int, 0];
        source.pData = [y, u, v, &[]].map(|plane| plane.as_ptr().cast_mut());
        Ok(source)
    }

    /// Gives the units that the last call left in the library's buffer.
    fn take(&mut self, mut unit: impl FnMut(Kind, &[u8])) -> Result<Kind, Error> {
        let kind = match self.info.eFrameType {
            kind if kind == videoFrameTypeIDR => Kind::Key,
            kind if kind == videoFrameTypeI || kind == videoFrameTypeP => Kind::Predicted,
            code => return Err(Error::Library { step: "picture", code }),
        };
        let layers = usize::try_from(self.info.iLayerNum).unwrap_or(0);
        for layer in self.info.sLayerInfo.iter().take(layers) {
            let units = usize::try_from(layer.iNalCount).unwrap_or(0);
            if units == 0 || layer.pNalLengthInByte.is_null() || layer.pBsBuf.is_null() {
                continue;
            }
            // SAFETY: the library wrote `iNalCount` lengths there, valid until its next call.
            let lengths = unsafe { std::slice::from_raw_parts(layer.pNalLengthInByte, units) };
            let lengths = lengths.iter().map(|&length| usize::try_from(length).unwrap_or(0));
            // SAFETY: the units of a layer stand one behind the other in its buffer, valid until the next call.
            let mut rest = unsafe { std::slice::from_raw_parts(layer.pBsBuf, lengths.clone().sum()) };
            for length in lengths {
                let (one, after) = rest.split_at(length);
                unit(kind, one);
                rest = after;
            }
        }
        Ok(kind)
    }

    fn set<T>(&mut self, option: ENCODER_OPTION, value: &mut T) -> Result<(), Error> {
        let value: *mut c_void = ptr::from_mut(value).cast();
        // SAFETY: `raw` is live; both callers pass the type that the option wants, which the call only reads.
        let code = self
            .table()
            .SetOption
            .map_or(MISSING, |call| unsafe { call(self.raw, option, value) });
        check("option", code)
    }

    fn table(&self) -> ISVCEncoderVtbl {
        // SAFETY: a live encoder starts with the pointer to its table of functions, which is static.
        unsafe { **self.raw }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        if let Some(call) = self.table().Uninitialize {
            // SAFETY: `raw` is live; the call is allowed before a successful start too.
            unsafe { call(self.raw) };
        }
        // SAFETY: `raw` is live and not used afterwards.
        unsafe { DynamicAPI::from_source().WelsDestroySVCEncoder(self.raw) };
    }
}

fn configure(parameters: &mut SEncParamExt, width: c_int, height: c_int) {
    // Natural pictures. On those, screen content mode took up to 75 % more time for equally large predicted pictures.
    parameters.iUsageType = CAMERA_VIDEO_REAL_TIME;
    parameters.iPicWidth = width;
    parameters.iPicHeight = height;
    parameters.fMaxFrameRate = 30.0;
    parameters.iTargetBitrate = 20_000_000;
    parameters.iRCMode = RC_OFF_MODE;
    parameters.iTemporalLayerNum = 1;
    parameters.iSpatialLayerNum = 1;
    parameters.iComplexityMode = LOW_COMPLEXITY;
    parameters.uiIntraPeriod = 0;
    parameters.eSpsPpsIdStrategy = CONSTANT_ID;
    parameters.bEnableFrameSkip = false;
    parameters.iMultipleThreadIdc = 1;
    parameters.bEnableDenoise = false;
    parameters.bEnableBackgroundDetection = true;
    parameters.bEnableAdaptiveQuant = false;
    // A cut is coded as a predicted picture of intra blocks: a key picture would only add parameter sets.
    parameters.bEnableSceneChangeDetect = false;
    parameters.bEnableLongTermReference = false;
    parameters.iEntropyCodingModeFlag = 0;
    let layer = &mut parameters.sSpatialLayers[0];
    layer.iVideoWidth = width;
    layer.iVideoHeight = height;
    layer.fFrameRate = 30.0;
    layer.iSpatialBitrate = 20_000_000;
    layer.uiProfileIdc = PRO_BASELINE;
    layer.iDLayerQp = 26;
    layer.sSliceArgument.uiSliceMode = SM_SINGLE_SLICE;
}

fn check(step: &'static str, code: c_int) -> Result<(), Error> {
    match code {
        0 => Ok(()),
        code => Err(Error::Library { step, code }),
    }
}

/// What a table without the function would give; it never is without.
const MISSING: c_int = c_int::MIN;
