//! Each codec once, chosen by what a client offers: pictures are taken while a window moves or a film plays, before
//! anything is made exact, and compared with the frame that they show. They stay beside the true ones in `target/e2e`.

use super::Stage;
use crate::e2e::client::Kind;
use crate::e2e::picture::{Area, Picture};
use crate::e2e::report::{Case, Suite};
use crate::e2e::sampler::{self, Control};
use crate::e2e::{source, wait};
use anyhow::{Context, Result, ensure};
use bench_pictures::Workload;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A way to make the daemon choose a codec.
struct Variant {
    name: &'static str,
    kind: Kind,
    more: &'static [&'static str],
    workload: Workload,
    /// What the daemon's log must name among the frames' codecs.
    sent: &'static str,
    /// A part of how its log describes the way pictures go.
    pipe: &'static str,
    /// The moving picture, dB.
    least: f64,
}

const VARIANTS: &[Variant] = &[
    variant(
        "clearcodec",
        Kind::FreeRdp3,
        &["/gfx"],
        Workload::Scroll,
        ("ClearCodec", "Egfx"),
        40.0,
    ),
    variant(
        "copies and fills",
        Kind::FreeRdp3,
        &["/gfx"],
        Workload::Scroll,
        ("copy", "Egfx"),
        40.0,
    ),
    variant(
        "bitmap cache",
        Kind::FreeRdp3,
        &["/gfx"],
        Workload::Video,
        ("bitmap cache", "Egfx"),
        30.0,
    ),
    variant(
        "progressive",
        Kind::FreeRdp3,
        &["/gfx:progressive"],
        Workload::Video,
        ("RemoteFX", "progressive: true"),
        30.0,
    ),
    variant(
        "cavideo",
        Kind::FreeRdp2,
        &["/gfx-h264:AVC420", "+gfx-thin-client"],
        Workload::Drag,
        ("RemoteFX", "progressive: false"),
        30.0,
    ),
    variant(
        "avc420",
        Kind::FreeRdp3,
        &["/gfx:AVC420"],
        Workload::Video,
        ("AVC420", "avc420: true"),
        28.0,
    ),
    variant(
        "avc444 main pictures",
        Kind::FreeRdp3,
        &["/gfx:AVC444"],
        Workload::Video,
        ("AVC444 luma", "avc444: true"),
        28.0,
    ),
    colors("avc444", Kind::FreeRdp3, &["/gfx:AVC444"]),
    colors("avc444 on freerdp2", Kind::FreeRdp2, &["/gfx-h264:AVC444"]),
    variant(
        "avc420 on freerdp2",
        Kind::FreeRdp2,
        &["/gfx-h264:AVC420"],
        Workload::Video,
        ("AVC420", "avc420: true"),
        28.0,
    ),
    variant(
        "surface commands",
        Kind::FreeRdp2,
        &["/rfx"],
        Workload::Video,
        ("RemoteFX", "SurfaceCommands"),
        30.0,
    ),
    variant(
        "nscodec",
        Kind::FreeRdp2,
        &["/nsc", "/network:broadband-low"],
        Workload::Scroll,
        ("NSCodec", "NsCodec"),
        30.0,
    ),
    variant(
        "planar",
        Kind::FreeRdp3,
        &["/network:modem"],
        Workload::Scroll,
        ("planar", "bits_per_pixel: 32"),
        40.0,
    ),
    variant(
        "interleaved 24",
        Kind::FreeRdp2,
        &["/bpp:24", "/sec:tls"],
        Workload::Scroll,
        ("interleaved", "bits_per_pixel: 24"),
        40.0,
    ),
    variant(
        "interleaved 16",
        Kind::Rdesktop,
        &["-a", "16"],
        Workload::Scroll,
        ("interleaved", "bits_per_pixel: 16"),
        30.0,
    ),
];

/// Both pictures of 4:4:4, where colours would suffer without the second.
const fn colors(name: &'static str, kind: Kind, more: &'static [&'static str]) -> Variant {
    variant(
        name,
        kind,
        more,
        Workload::Colors,
        ("AVC444 video", "avc444: true"),
        30.0,
    )
}

const fn variant(
    name: &'static str,
    kind: Kind,
    more: &'static [&'static str],
    workload: Workload,
    (sent, pipe): (&'static str, &'static str),
    least: f64,
) -> Variant {
    Variant {
        name,
        kind,
        more,
        workload,
        sent,
        pipe,
        least,
    }
}

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    for variant in VARIANTS {
        suite.case(&format!("codec {}", variant.name), |case| moving(case, variant));
    }
}

const MOTION: Duration = Duration::from_secs(3);
/// Clients without frames tear their pictures: the best of several counts.
const PICTURES: usize = 12;

fn moving(case: &Case, variant: &Variant) -> Result<String> {
    let mut stage = Stage::start(case)?;
    let (mut client, screen) = stage.look(case, "client", variant.kind, variant.more, variant.workload)?;
    std::thread::sleep(Duration::from_millis(500));
    let control = Control::default();
    let seen = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| sampler::watch(&screen, variant.workload, &control, PICTURES, MOTION));
        let played = stage
            .source
            .play(MOTION)
            .and_then(|()| stage.source.played(wait::seconds(30)));
        control.stop.store(true, Ordering::Relaxed);
        let seen = sampler.join().map_err(|_| anyhow::anyhow!("the sampler panicked"))?;
        played.map(|_| seen)
    })?;
    client.process.check()?;
    // A film is tiles at first, and those have all colours.
    let later = match variant.workload {
        Workload::Colors => seen.pictures.len() / 2,
        _ => 0,
    };
    let judged = seen.pictures[later..]
        .iter()
        .map(|(n, picture)| {
            let truth = source::picture(variant.workload, *n);
            (picture.psnr(&truth), picture, truth)
        })
        .max_by(|one, two| one.0.total_cmp(&two.0));
    let (psnr, picture, truth) = judged.context("no whole picture was seen while it moved")?;
    picture.save(&case.folder.join("moving.png"))?;
    truth.save(&case.folder.join("true.png"))?;
    let pipe = stage.daemon.pipe();
    let sent = codecs(&stage.daemon.process.output());
    ensure!(
        pipe.contains(variant.pipe),
        "pictures are sent by {pipe}, not {}",
        variant.pipe
    );
    ensure!(sent.contains(variant.sent), "no {} was sent, but {sent}", variant.sent);
    ensure!(
        psnr >= variant.least,
        "the moving picture has {psnr:.1} dB, not {} or more",
        variant.least
    );
    if variant.workload == Workload::Colors {
        let (psnr, best) = colors_beside(case, picture, &truth)?;
        ensure!(
            psnr > best + 1.0,
            "the film has {psnr:.1} dB, and a perfect one of 4:2:0 has {best:.1} dB"
        );
        return Ok(format!("film {psnr:.1} dB, 4:2:0 at best {best:.1} dB; sent {sent}"));
    }
    Ok(format!("moving {psnr:.1} dB; sent {sent}"))
}

/// PSNR of the film alone, and what the best 4:2:0 coder would reach.
fn colors_beside(case: &Case, picture: &Picture, truth: &Picture) -> Result<(f64, f64)> {
    let region = Workload::Colors.region();
    let area = Area {
        x: region.x,
        y: region.y,
        width: region.width,
        height: region.height,
    };
    let (picture, truth) = (picture.crop(area)?, truth.crop(area)?);
    let best = subsampled(&truth);
    best.save(&case.folder.join("best-420.png"))?;
    Ok((picture.psnr(&truth), best.psnr(&truth)))
}

/// True luma, and the chroma of 2x2 pixels each.
fn subsampled(truth: &Picture) -> Picture {
    let mut out = truth.clone();
    let rgb = |pixel: u32| [16, 8, 0].map(|shift| f64::from(pixel >> shift & 0xff));
    let luma = |[r, g, b]: [f64; 3]| 0.2126 * r + 0.7152 * g + 0.0722 * b;
    for y in (0..truth.height / 2 * 2).step_by(2) {
        for x in (0..truth.width / 2 * 2).step_by(2) {
            let square = [0, 1, truth.width, truth.width + 1].map(|more| y * truth.width + x + more);
            let colors = square.map(|at| rgb(truth.pixels[at]));
            let average = [0, 1, 2].map(|i| colors.iter().map(|color| color[i]).sum::<f64>() / 4.0);
            for (at, color) in square.into_iter().zip(colors) {
                let change = luma(color) - luma(average);
                let values = average.map(|value| (value + change).clamp(0.0, 255.0).round() as u32);
                out.pixels[at] = values[0] << 16 | values[1] << 8 | values[2];
            }
        }
    }
    out
}

/// The codecs that the daemon's log names, each once.
fn codecs(log: &str) -> String {
    let lists = log
        .lines()
        .filter_map(|line| line.split_once("names={")?.1.split_once('}'));
    let names: BTreeSet<&str> = lists.flat_map(|(list, _)| list.split(", ")).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}
