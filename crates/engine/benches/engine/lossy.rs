//! RemoteFX and NSCodec beside FreeRDP's and IronRDP's encoders, at the same quantiser.

use ironrdp_graphics::image_processing::PixelFormat;
use ironrdp_pdu::codecs::rfx::{EntropyAlgorithm, Quant};
use rdpmux_engine::Profile;
use rdpmux_engine::codec::nsc::{self, Order, Quality};
use rdpmux_engine::codec::rfx;
use rdpmux_model::RfxTile;

use crate::figure::{Figures, Row, best, print, speed};
use crate::freerdp::{Codec, FreeRdp};
use crate::painter::decode_rfx;
use crate::pictures::psnr;
use crate::screens::{Screen, Tile};

/// Returns what FreeRDP's RemoteFX costs, which the whole is compared with.
pub fn measure(screen: &Screen, peer: &mut Option<FreeRdp>) -> Option<Figures> {
    let theirs = peer
        .as_mut()
        .and_then(|peer| theirs(screen, peer, Codec::Rfx { rlgr: 1 }));
    let ours = remotefx(screen);
    print_remotefx(screen, &ours, theirs.as_ref());
    if screen.size.width < 2000 {
        let (seconds, _) = best(|| screen.tiles().map(|tile| ironrdp_remotefx(screen, tile)).sum::<usize>());
        let ratio = seconds / ours.seconds;
        let row = Row::new(
            format!("{}: RemoteFX, speed again", screen.name),
            speed(screen.size.area(), ours.seconds),
            "Mpixel/s",
        );
        row.beside("ironrdp-graphics", ratio).print();
    }
    nscodec(screen, peer);
    theirs
}

fn print_remotefx(screen: &Screen, ours: &Figures, theirs: Option<&Figures>) {
    let (name, pixels) = (format!("{}: RemoteFX", screen.name), screen.size.area());
    let Some(theirs) = theirs else {
        return print(&name, pixels, ours, None);
    };
    let (faster, smaller) = (theirs.seconds / ours.seconds, theirs.bytes as f64 / ours.bytes as f64);
    Row::new(format!("{name}, speed"), speed(pixels, ours.seconds), "Mpixel/s")
        .beside("FreeRDP RLGR1", faster)
        .goal("≥ 3.5 ×, equal quantiser and bytes", faster >= 3.5 && smaller >= 0.98)
        .print();
    let rest = Figures {
        seconds: ours.seconds,
        ..*ours
    };
    Row::new(
        format!("{name}, size"),
        crate::figure::size(pixels, rest.bytes),
        "bit/pixel",
    )
    .beside("FreeRDP RLGR1", smaller)
    .print();
    if let (Some(ours), Some(theirs)) = (ours.decibels, theirs.decibels) {
        Row::new(format!("{name}, truth"), ours, "dB")
            .beside("FreeRDP RLGR1", ours / theirs)
            .print();
    }
}

fn remotefx(screen: &Screen) -> Figures {
    let encode = |tile: Tile| rfx::encode(screen.rows(tile), 64, tile.height, &Profile::QUANT);
    let (seconds, bytes) = best(|| screen.tiles().flat_map(encode).map(|plane| plane.len()).sum());
    let mut shown = screen.pixels.clone();
    for tile in screen.tiles() {
        let planes = encode(tile);
        let coded = RfxTile { x: 0, y: 0, planes };
        let rgba = decode_rfx(&coded, Profile::QUANT);
        for (row, from) in rgba.chunks_exact(256).take(tile.height).enumerate() {
            let at = ((tile.y + row) * screen.size.width as usize + tile.x) * 4;
            for (to, from) in shown[at..at + 256]
                .as_chunks_mut::<4>()
                .0
                .iter_mut()
                .zip(from.as_chunks::<4>().0)
            {
                *to = [from[2], from[1], from[0], 255];
            }
        }
    }
    Figures {
        seconds,
        bytes,
        decibels: Some(psnr(&screen.pixels, &shown)),
    }
}

/// One of FreeRDP's encoders on the same screen, read back by FreeRDP.
pub fn theirs(screen: &Screen, peer: &mut FreeRdp, codec: Codec) -> Option<Figures> {
    let size = (screen.size.width, screen.size.height);
    let (seconds, stream) = peer.encode(codec, size, &screen.pixels).ok()?;
    let is_whole = matches!(codec, Codec::Rfx { .. } | Codec::Nsc { .. });
    let shown = is_whole.then(|| peer.decode(codec, size, &stream).ok()).flatten();
    Some(Figures {
        seconds,
        bytes: stream.len(),
        decibels: shown.map(|shown| psnr(&screen.pixels, &shown)),
    })
}

fn nscodec(screen: &Screen, peer: &mut Option<FreeRdp>) {
    let (width, height) = (screen.size.width as usize, screen.size.height as usize);
    let whole = screen.rows(Tile { x: 0, y: 0, height });
    let (seconds, stream) = best(|| {
        let mut out = Vec::new();
        nsc::encode(whole, width, height, Quality::BEST, Order::BottomUp, &mut out);
        out
    });
    let codec = Codec::Nsc {
        loss: 1,
        subsampled: false,
    };
    let size = (screen.size.width, screen.size.height);
    let shown = peer.as_mut().and_then(|peer| peer.decode(codec, size, &stream).ok());
    let ours = Figures {
        seconds,
        bytes: stream.len(),
        decibels: shown.map(|shown| psnr(&screen.pixels, &shown)),
    };
    let theirs = peer.as_mut().and_then(|peer| theirs(screen, peer, codec));
    let name = format!("{}: NSCodec", screen.name);
    print(
        &name,
        screen.size.area(),
        &ours,
        theirs.as_ref().map(|theirs| ("FreeRDP", theirs)),
    );
}

fn ironrdp_remotefx(screen: &Screen, tile: Tile) -> usize {
    let [ll3, lh3, hl3, hh3, lh2, hl2, hh2, lh1, hl1, hh1] = Profile::QUANT.0;
    let quant = Quant {
        ll3,
        lh3,
        hl3,
        hh3,
        lh2,
        hl2,
        hh2,
        lh1,
        hl1,
        hh1,
    };
    let mut planes = [[0; 4096]; 3];
    let [luma, blue, red] = &mut planes;
    let rows = screen.rows(tile);
    let (source, stride) = (&rows.bytes[..(tile.height - 1) * rows.stride + 256], rows.stride as u32);
    ironrdp_graphics::color_conversion::to_64x64_ycbcr_tile(
        source,
        64,
        tile.height as u32,
        stride,
        PixelFormat::BgrX32,
        luma,
        blue,
        red,
    )
    .expect("a tile");
    let mut out = [0; 16384];
    let encode = |plane: &mut [i16; 4096]| {
        ironrdp_graphics::rfx_encode_component(plane, &mut out, &quant, EntropyAlgorithm::Rlgr1).expect("enough room")
    };
    planes.iter_mut().map(encode).sum()
}
