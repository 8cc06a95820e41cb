//! One peer on one link: starts everything, plays the workloads one after the other and takes the figures of each.

use super::peer::{self, Peer, Stage};
use super::{keys, usage};
use crate::e2e::client::Client;
use crate::e2e::light;
use crate::e2e::net::{self, Link};
use crate::e2e::picture::Picture;
use crate::e2e::process::Process;
use crate::e2e::report::Case;
use crate::e2e::sampler::{self, Control, Motion};
use crate::e2e::screen::Screen;
use crate::e2e::source;
use crate::e2e::source::Played;
use crate::e2e::wait;
use crate::root;
use anyhow::{Context, Result};
use bench_pictures::Workload;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// What to run.
pub struct Plan {
    pub peer: Peer,
    pub link: net::Kind,
    pub workloads: Vec<Workload>,
    pub time: Duration,
    /// How many look: one stock client, and light ones beside it.
    pub viewers: u32,
}

/// What came out for one workload.
#[derive(Clone, Debug)]
pub struct Figures {
    pub peer: Peer,
    pub link: &'static str,
    pub viewers: u32,
    pub workload: Workload,
    pub motion: Motion,
    /// Seconds that were measured, with the run-out.
    pub seconds: f64,
    /// IP bytes to the client.
    pub bytes: u64,
    /// Processor seconds of server and client.
    pub server: f64,
    /// Of the server's, what QEMU used.
    pub qemu: f64,
    pub client: f64,
    /// Share of the machine that was busy.
    pub busy: f64,
    pub moving_psnr: Option<f64>,
    /// At rest, against the source: PSNR and pixels that differ.
    pub settled_psnr: f64,
    pub differing: usize,
    /// Memory of the server with this client, KiB.
    pub memory: u64,
    /// Of a workload that is moved by keys.
    pub keys: Option<Keys>,
}

/// From key presses to pixels. The latencies of [`Figures::motion`] start at the key press then.
#[derive(Clone, Debug)]
pub struct Keys {
    pub pressed: usize,
    /// Keys without an answer within three seconds.
    pub lost: usize,
    /// Milliseconds from the key press to the picture being painted, p50.
    pub to_source: f64,
}

/// What the last frames still cost belongs to the run.
const RUN_OUT: Duration = Duration::from_secs(1);
/// Bytes in a second that are no picture.
const QUIET: u64 = 3000;
/// How long the last frame may take.
const CATCH_UP: Duration = Duration::from_secs(12);
/// Pictures taken in motion.
const PICTURES: usize = 4;

/// Runs the plan and hands each workload's figures to `tell` at once.
///
/// # Errors
/// When something does not come up; figures so far are lost, but were told.
pub fn run(plan: &Plan, mut tell: impl FnMut(&Figures)) -> Result<Vec<Figures>> {
    let case = folder(&format!("{}-{}-{}", plan.peer.name, plan.link.name, plan.viewers))?;
    println!(
        "bench: {} on {}, {} viewers",
        plan.peer.name, plan.link.name, plan.viewers
    );
    let link = Link::new(plan.link, &case.folder, case.sockets.path())?;
    let mut stage = plan.peer.start(&case, &link)?;
    let mut client = None;
    let _others = others(plan, &case, &link, &mut stage)?;
    let mut all = Vec::new();
    for workload in &plan.workloads {
        if *workload == Workload::Busy && stage.source.serving.is_none() {
            // Only the guest takes keys while its film plays.
            continue;
        }
        stage.source.show(*workload)?;
        if client.is_none() {
            client = Some(plan.peer.look(&case, &link, "client")?);
        }
        let client = client.as_mut().context("there is a client")?;
        let figures = one(plan, *workload, &link, &mut stage, client).with_context(|| workload.name().to_owned());
        let _ = client
            .display
            .with_pointer()?
            .save(&case.folder.join(format!("{}.png", workload.name())));
        let figures = figures?;
        tell(&figures);
        all.push(figures);
    }
    Ok(all)
}

/// Viewers that were too slow while their first pictures came go on alone for five seconds; then they share again.
const TOGETHER: Duration = wait::seconds(8);

/// The light viewers beside the one that is looked at; all have their picture.
fn others(plan: &Plan, case: &Case, link: &Link, stage: &mut Stage) -> Result<Option<Process>> {
    let Some(count) = plan.viewers.checked_sub(1).filter(|count| *count > 0) else {
        return Ok(None);
    };
    stage
        .source
        .show(plan.workloads.first().copied().unwrap_or(Workload::Scroll))?;
    let mut process = light::start(
        &case.folder,
        &plan.peer.address(),
        (peer::USER, peer::PASSWORD),
        count,
        |command| link.client.inside(command),
    )?;
    light::wait_until_up(&mut process, count, wait::seconds(60))?;
    Ok(Some(process))
}

/// A folder for logs and pictures, and one for sockets.
///
/// # Errors
/// When it cannot be made.
pub fn folder(name: &str) -> Result<Case> {
    let folder = root::target().join("bench").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let sockets = tempfile::Builder::new().prefix("rdpmux-bench-").tempdir()?;
    Ok(Case { folder, sockets })
}

fn one(plan: &Plan, workload: Workload, link: &Link, stage: &mut Stage, client: &mut Client) -> Result<Figures> {
    // Outside of the picture: the pointer is drawn into the framebuffer.
    client
        .display
        .point(crate::e2e::display::WIDTH - 1, crate::e2e::display::HEIGHT - 1)?;
    let screen = wait::until(wait::seconds(40), "the client shows the first frame", || {
        client.process.check()?;
        let screen = Screen::open(client.display.framebuffer())?;
        Ok((screen.whole(workload.strips()) == Some(0)).then_some(screen))
    })?;
    quiet(link)?;
    if plan.viewers > 1 {
        std::thread::sleep(TOGETHER);
    }
    if matches!(workload, Workload::Echo | Workload::Busy) {
        return keys::run(plan, workload, link, stage, client, &screen);
    }
    let control = Control::default();
    let before = Counters::take(link, stage, client)?;
    let (seen, (played, after)) = std::thread::scope(|scope| {
        let sampler = scope.spawn(|| sampler::watch(&screen, workload, &control, PICTURES, plan.time));
        let result = play(plan, link, stage, client, &control);
        control.stop.store(true, Ordering::Relaxed);
        let seen = sampler.join().map_err(|_| anyhow::anyhow!("the sampler panicked"))?;
        anyhow::Ok((seen, result?))
    })?;
    // Refinement may go on for a while; the goal is one second, the figure is taken after two.
    std::thread::sleep(wait::seconds(1));
    let (truth, shown) = (source::picture(workload, played.last), screen.picture()?);
    Ok(Figures {
        motion: seen.beside(&played),
        moving_psnr: seen.moving_psnr(workload),
        ..after.since(&before, plan, workload, stage, &truth, &shown)?
    })
}

/// Waits until the first picture has been made exact: its bytes are not the workload's.
fn quiet(link: &Link) -> Result<()> {
    let started = Instant::now();
    let mut last = link.bytes()?.0;
    while started.elapsed() < wait::seconds(20) {
        std::thread::sleep(wait::seconds(1));
        let now = link.bytes()?.0;
        if now - last < QUIET {
            return Ok(());
        }
        last = now;
    }
    Ok(())
}

/// Plays, and waits until the client has the last frame; one that never comes ends the wait.
fn play(
    plan: &Plan,
    link: &Link,
    stage: &mut Stage,
    client: &mut Client,
    control: &Control,
) -> Result<(Played, Counters)> {
    stage.source.play(plan.time)?;
    let played = stage.source.played(plan.time + wait::seconds(30))?;
    let ended = Instant::now();
    let is_late = |ended: Instant| ended.elapsed() < CATCH_UP && control.shown() != Some(played.last);
    while is_late(ended) || ended.elapsed() < RUN_OUT {
        client.process.check()?;
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok((played, Counters::take(link, stage, client)?))
}

/// What the kernel has counted.
pub struct Counters {
    at: Instant,
    bytes: u64,
    server: Duration,
    qemu: Duration,
    client: Duration,
    machine: (u64, u64),
}

impl Counters {
    /// Takes them now.
    pub fn take(link: &Link, stage: &Stage, client: &Client) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            bytes: link.bytes()?.0,
            server: usage::time(&stage.served_by()),
            qemu: usage::time_of_qemu(&stage.served_by()),
            client: usage::time(&usage::tree(client.process.id())),
            machine: usage::machine(),
        })
    }

    /// Figures of the time since `before`, without motion.
    pub fn since(
        &self,
        before: &Self,
        plan: &Plan,
        workload: Workload,
        stage: &Stage,
        truth: &Picture,
        shown: &Picture,
    ) -> Result<Figures> {
        let busy = self.machine.0 - before.machine.0;
        Ok(Figures {
            peer: plan.peer,
            link: plan.link.name,
            viewers: plan.viewers,
            workload,
            motion: Motion::default(),
            seconds: (self.at - before.at).as_secs_f64(),
            bytes: self.bytes - before.bytes,
            server: self.server.saturating_sub(before.server).as_secs_f64(),
            qemu: self.qemu.saturating_sub(before.qemu).as_secs_f64(),
            client: self.client.saturating_sub(before.client).as_secs_f64(),
            busy: busy as f64 / (self.machine.1 - before.machine.1).max(1) as f64,
            moving_psnr: None,
            settled_psnr: truth.psnr(shown),
            differing: truth.differing(shown),
            memory: usage::memory(&stage.served_by())?,
            keys: None,
        })
    }
}

impl Figures {
    /// Bytes per frame that arrived.
    pub fn bytes_per_frame(&self) -> f64 {
        self.bytes as f64 / self.motion.frames.max(1) as f64
    }

    /// Milliseconds of processor time of the server per frame that arrived.
    pub fn server_per_frame(&self) -> f64 {
        self.server * 1e3 / self.motion.frames.max(1) as f64
    }

    /// The same of QEMU alone, which is in it.
    pub fn qemu_per_frame(&self) -> f64 {
        self.qemu * 1e3 / self.motion.frames.max(1) as f64
    }

    /// Percent of one processor that the server used while the source played.
    pub fn server_percent(&self) -> f64 {
        self.server * 100.0 / self.seconds
    }

    /// For people who wait for the table.
    pub fn line(&self) -> String {
        let motion = &self.motion;
        if let Some(keys) = &self.keys {
            return format!(
                "{:7} {:6} key to pixel {:.1}/{:.1} ms (to the source {:.1}), {:.0} B/key, server {:.1} ms/key, {} of {} lost",
                self.workload.name(),
                self.link,
                motion.p50,
                motion.p95,
                keys.to_source,
                self.bytes_per_frame(),
                self.server * 1e3 / motion.frames.max(1) as f64,
                keys.lost,
                keys.pressed,
            );
        }
        format!(
            "{:7} {:6} {:.1} of {:.1} fps, latency {:.1}/{:.1} ms, {:.1} kB/frame, server {:.0} %, client {:.0} %, \
             settled {:.1} dB ({} pixels differ), machine {:.0} % busy",
            self.workload.name(),
            self.link,
            motion.fps,
            motion.source_fps,
            motion.p50,
            motion.p95,
            self.bytes_per_frame() / 1e3,
            self.server_percent(),
            self.client * 100.0 / self.seconds,
            self.settled_psnr,
            self.differing,
            self.busy * 100.0,
        )
    }
}
