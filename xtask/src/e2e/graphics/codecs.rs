//! Each codec once, chosen by what a client offers: pictures are taken while a window moves or a film plays, before
//! anything is made exact, and compared with the frame that they show. They stay beside the true ones in `target/e2e`.

use super::Stage;
use crate::e2e::client::Kind;
use crate::e2e::report::{Case, Suite};
use crate::e2e::sampler::{self, Control};
use crate::e2e::{source, wait};
use anyhow::{Context, Result, ensure};
use bench_pictures::Workload;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A way to make the daemon choose a codec.
struct Variant {
    name: &'static str,
    kind: Kind,
    more: &'static [&'static str],
    workload: Workload,
    proof: Proof,
    /// The moving picture, dB.
    least: f64,
}

/// How it is known that the codec was used.
#[derive(Clone, Copy)]
enum Proof {
    /// The client's log names it.
    Client(&'static str),
    /// The daemon's log names the way pictures go.
    Pipe(&'static str),
}

/// Makes FreeRDP write down the codec of each update.
const TELL: &str = "/log-filters:com.freerdp.channels.rdpgfx.client:DEBUG";

const VARIANTS: &[Variant] = &[
    Variant {
        name: "clearcodec",
        kind: Kind::FreeRdp3,
        more: &["/gfx", TELL],
        workload: Workload::Scroll,
        proof: Proof::Client("CLEARCODEC"),
        least: 40.0,
    },
    Variant {
        name: "remotefx in gfx",
        kind: Kind::FreeRdp3,
        more: &["/gfx:RFX", TELL],
        workload: Workload::Video,
        proof: Proof::Client("CAVIDEO"),
        least: 30.0,
    },
    Variant {
        name: "remotefx progressive",
        kind: Kind::FreeRdp3,
        more: &["/gfx:progressive", TELL],
        workload: Workload::Video,
        proof: Proof::Client("CAPROGRESSIVE"),
        least: 30.0,
    },
    Variant {
        name: "avc420",
        kind: Kind::FreeRdp3,
        more: &["/gfx:AVC420", TELL],
        workload: Workload::Video,
        proof: Proof::Client("AVC420"),
        least: 28.0,
    },
    Variant {
        name: "avc444",
        kind: Kind::FreeRdp3,
        more: &["/gfx:AVC444", TELL],
        workload: Workload::Video,
        proof: Proof::Client("AVC444"),
        least: 28.0,
    },
    Variant {
        name: "remotefx in surface commands",
        kind: Kind::FreeRdp2,
        more: &["/rfx"],
        workload: Workload::Video,
        proof: Proof::Pipe("SurfaceCommands"),
        least: 30.0,
    },
    Variant {
        name: "nscodec",
        kind: Kind::FreeRdp2,
        more: &["/nsc"],
        workload: Workload::Drag,
        proof: Proof::Pipe("SurfaceCommands"),
        least: 30.0,
    },
    Variant {
        name: "planar",
        kind: Kind::FreeRdp3,
        more: &["/network:modem"],
        workload: Workload::Drag,
        proof: Proof::Pipe("Bitmap { bits_per_pixel: 32"),
        least: 40.0,
    },
    Variant {
        name: "interleaved 24",
        kind: Kind::FreeRdp2,
        more: &["/bpp:24", "/sec:tls"],
        workload: Workload::Drag,
        proof: Proof::Pipe("Bitmap { bits_per_pixel: 24"),
        least: 40.0,
    },
    Variant {
        name: "interleaved 16",
        kind: Kind::Rdesktop,
        more: &["-a", "16"],
        workload: Workload::Drag,
        proof: Proof::Pipe("Bitmap { bits_per_pixel: 16"),
        least: 30.0,
    },
];

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    for variant in VARIANTS {
        suite.case(&format!("codec {}", variant.name), |case| moving(case, variant));
    }
}

const MOTION: Duration = Duration::from_secs(3);
/// Clients without frames tear their pictures: the best of several counts.
const PICTURES: usize = 6;

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
    let judged = seen
        .pictures
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
    match variant.proof {
        Proof::Client(word) => ensure!(
            client.process.output().contains(word),
            "the client was sent no {word}; it was sent {}",
            codecs(&client.process.output())
        ),
        Proof::Pipe(word) => ensure!(
            pipe.starts_with(word),
            "pictures are sent by {pipe:?} instead of {word}"
        ),
    }
    ensure!(
        psnr >= variant.least,
        "the moving picture has {psnr:.1} dB, not {} or more",
        variant.least
    );
    Ok(format!("moving {psnr:.1} dB, by {pipe}"))
}

/// The codecs that a client's log names, each once.
fn codecs(log: &str) -> String {
    let mut names: Vec<&str> = log
        .split("codecId: ")
        .skip(1)
        .filter_map(|rest| rest.split_whitespace().next())
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}
