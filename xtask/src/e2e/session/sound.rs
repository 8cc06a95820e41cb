//! Sound of a real QEMU at real clients: the PC speaker's tone at two FreeRDPs and a light viewer, whole, in tune and in
//! time, whatever a stalled fourth does; and a tone spoken into a client's microphone, heard by the guest.
//!
//! Each FreeRDP has a PulseAudio of its own, which records what it plays, or plays what it is to pick up.

use super::tone::Tone;
use crate::e2e::client::{Client, Config, Kind};
use crate::e2e::daemon::{self, Daemon};
use crate::e2e::light;
use crate::e2e::process::{self, Process};
use crate::e2e::qemu::{PASSWORD, configure, serve};
use crate::e2e::report::{Case, Suite};
use crate::e2e::vm::{Guest, Vm};
use crate::e2e::wait;
use crate::steps;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("a tone at three viewers and a stalled one", tone);
    suite.case("a tone into the microphone", microphone);
}

const MACHINE: &str = "web1";
const HERTZ: f64 = 440.0;
const RATE: u32 = 48_000;
/// From the guest's word that it plays to the sound's arrival at a viewer, in the median: QEMU's own part is in it.
const LATENCY: u64 = 150;

/// The guest with a sound card and a speaker, and the daemon.
struct Stage {
    vm: Vm,
    daemon: Daemon,
}

impl Stage {
    fn start(case: &Case) -> Result<Self> {
        let socket = admin_socket(case);
        let config = configure(case, &format!("admin_socket = {socket:?}\n"))?;
        let text = fs::read_to_string(&config)?;
        fs::write(
            &config,
            text.replace(
                "users = [\"alice\", \"bob\"]\n",
                "users = [\"alice\", \"bob\"]\nsound = \"both\"\n",
            ),
        )?;
        let mut vm = Vm::start_sounding(case, MACHINE, &Guest::Kms("rdpmux.sound"))?;
        let daemon = serve(
            case,
            &config,
            &[("RUST_LOG", "info,rdpmux_server=debug,rdpmux_guest=debug")],
        )?;
        daemon.wait_for_machine(MACHINE)?;
        vm.wait_for(wait::seconds(60), "READY")?;
        Ok(Self { vm, daemon })
    }

    fn press(&mut self, key: &str) -> Result<()> {
        let keys = json!({ "keys": [{ "type": "qcode", "data": key }] });
        self.vm.qmp.run("send-key", &keys).map(drop)
    }

    /// Starts or ends the tone; returns when the guest said so, in milliseconds of Unix time.
    fn toggle_tone(&mut self) -> Result<u128> {
        let count = |vm: &Vm| vm.serial().matches("TONE ").count();
        let before = count(&self.vm);
        self.press("f9")?;
        let until = Instant::now() + wait::seconds(10);
        while count(&self.vm) == before {
            ensure!(Instant::now() < until, "the guest says no TONE");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())
    }

    /// A client that plays to the PulseAudio at `server`.
    fn client(&self, case: &Case, name: &str, kind: Kind, more: &[&str], server: &str) -> Result<Client> {
        let config = Config {
            kind,
            address: &self.daemon.address,
            user: "alice",
            password: PASSWORD,
            size: (1280, 800),
            more,
            host: None,
        };
        Client::start_in(&case.folder, name, &config, |command| {
            let mut command = process::again(command);
            command
                .env("PULSE_SERVER", server)
                .env("PULSE_SINK", "tape")
                .env("PULSE_SOURCE", "mouth.monitor");
            command
        })
    }

    fn wait_for_log(&self, what: &str, count: usize) -> Result<()> {
        wait::for_true(
            wait::seconds(30),
            &format!("the daemon says {what:?} {count} times"),
            || Ok(self.daemon.process.output().matches(what).count() >= count),
        )
    }
}

/// A sound server for one client, and who records what it plays to `NAME.pcm`.
struct Tape {
    server: String,
    recording: PathBuf,
    _pulse: Process,
    _recorder: Process,
}

impl Tape {
    fn start(case: &Case, name: &str) -> Result<Self> {
        let home = case.folder.join(format!("{name}.pulse"));
        fs::create_dir_all(&home)?;
        let socket = case.sockets.path().join(format!("{name}.pulse"));
        let server = format!("unix:{}", socket.display());
        let mut command = Command::new("pulseaudio");
        command.args([
            "-n",
            "--daemonize=no",
            "--use-pid-file=no",
            "--exit-idle-time=-1",
            "--disable-shm=yes",
        ]);
        command.arg(format!(
            "--load=module-native-protocol-unix auth-anonymous=1 socket={}",
            socket.display()
        ));
        // The first one's monitor is what a client records from.
        command.arg("--load=module-null-sink sink_name=mouth format=s16le rate=48000 channels=1");
        command.arg("--load=module-null-sink sink_name=tape format=s16le rate=48000 channels=2");
        command.env("HOME", &home).env("XDG_RUNTIME_DIR", &home);
        let pulse = Process::start(&command, &case.folder.join(format!("{name}.pulse.log")), "")?;
        wait::for_true(wait::seconds(10), "PulseAudio listens", || Ok(socket.exists()))?;
        let recording = case.folder.join(format!("{name}.pcm"));
        let mut command = Command::new("parec");
        command.args([
            "--device=tape.monitor",
            "--format=s16le",
            "--rate=48000",
            "--channels=2",
            "--raw",
        ]);
        command.arg(&recording).env("PULSE_SERVER", &server).env("HOME", &home);
        let recorder = Process::start(&command, &case.folder.join(format!("{name}.parec.log")), "")?;
        Ok(Self {
            server,
            recording,
            _pulse: pulse,
            _recorder: recorder,
        })
    }

    /// Plays a minute of the tone to where the client records from.
    fn speak(&self, case: &Case) -> Result<Process> {
        let file = case.folder.join("spoken.pcm");
        fs::write(&file, minute())?;
        let mut command = Command::new("pacat");
        command.args([
            "--playback",
            "--device=mouth",
            "--format=s16le",
            "--rate=48000",
            "--channels=1",
            "--raw",
        ]);
        command
            .arg(&file)
            .env("PULSE_SERVER", &self.server)
            .env("HOME", &case.folder);
        Process::start(&command, &case.folder.join("pacat.log"), "")
    }
}

fn tone(case: &Case) -> Result<String> {
    let mut stage = Stage::start(case)?;
    let sound = ["/sound:sys:pulse,latency:400"];
    let mut tapes = Vec::new();
    let mut clients = Vec::new();
    for (name, kind) in [
        ("two", Kind::FreeRdp2),
        ("three", Kind::FreeRdp3),
        ("stalled", Kind::FreeRdp2),
    ] {
        let tape = Tape::start(case, name)?;
        clients.push(stage.client(case, name, kind, &sound, &tape.server)?);
        tapes.push(tape);
    }
    let heard = case.folder.join("light.pcm");
    let mut ear = start_ear(case, &stage.daemon.address, &heard)?;
    stage.wait_for_log("the client plays sound", 4)?;
    // The stalled one has heard the beginning.
    stage.toggle_tone()?;
    wait::while_true(wait::seconds(1), || stage.vm.process.check())?;
    clients[2].process.suspend()?;
    wait::while_true(wait::seconds(5), || stage.vm.process.check())?;
    clients[2].process.resume()?;
    wait::while_true(wait::seconds(1), || stage.vm.process.check())?;
    stage.toggle_tone()?;
    wait::while_true(wait::seconds(2), || stage.vm.process.check())?;
    // Afterwards, as clients may gather short tones and play them before the next.
    let latency = latency(&mut stage, &mut ear)?;
    let mut words = Vec::new();
    // The light viewer is the witness of what was sent: every sample. Behind FreeRDP there is PulseAudio's own clock, which
    // runs dry now and then on a busy machine; between that, its tone is whole too.
    for (name, path, seconds) in [
        ("light", &heard, 5.5),
        ("FreeRDP 2", &tapes[0].recording, 3.0),
        ("FreeRDP 3", &tapes[1].recording, 3.0),
    ] {
        let tone = Tone::of_file(path, RATE)?;
        tone.check(HERTZ, seconds).with_context(|| name.to_owned())?;
        words.push(format!("{name} {:.1} Hz {:.1} s", tone.hertz, tone.seconds));
    }
    for client in &mut clients {
        client.process.check()?;
    }
    ensure!(
        latency.0 <= LATENCY,
        "sound came {} ms after the guest played it",
        latency.0
    );
    Ok(format!(
        "{}, unbroken; guest to viewer {} ms, {} ms at most",
        words.join(", "),
        latency.0,
        latency.1
    ))
}

/// Plays short tones; median and longest time from the guest's word to the light viewer, in milliseconds.
fn latency(stage: &mut Stage, ear: &mut Process) -> Result<(u64, u64)> {
    let mut times = Vec::new();
    for round in 1..=5 {
        let began = stage.toggle_tone()?;
        let heard = wait::until(wait::seconds(10), "the light viewer hears it", || {
            ear.check()?;
            let output = ear.output();
            let mut louds = output
                .lines()
                .filter_map(|line| line.strip_prefix("LOUD ")?.parse::<u128>().ok());
            Ok(louds.nth(round))
        })?;
        times.push(u64::try_from(heard.saturating_sub(began))?);
        stage.toggle_tone()?;
        wait::while_true(Duration::from_millis(400), || ear.check())?;
    }
    times.sort_unstable();
    Ok((times[2], times[4]))
}

/// A light viewer that listens.
fn start_ear(case: &Case, address: &str, recording: &Path) -> Result<Process> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["light", address, "alice", PASSWORD, "--hear", "--recording"])
        .arg(recording);
    let mut process = Process::start(&command, &case.folder.join("light.log"), "")?;
    light::wait_until_up(&mut process, 1, wait::seconds(20))?;
    Ok(process)
}

fn microphone(case: &Case) -> Result<String> {
    let mut stage = Stage::start(case)?;
    let tape = Tape::start(case, "speaker")?;
    let _mouth = tape.speak(case)?;
    let more = ["/microphone:sys:pulse"];
    let mut client = stage.client(case, "speaker", Kind::FreeRdp2, &more, &tape.server)?;
    stage.wait_for_log("session started", 1)?;
    ensure!(
        !stage.daemon.process.output().contains("asking for the microphone"),
        "the microphone was asked for before the guest recorded"
    );
    stage.press("f10")?;
    stage.vm.wait_for(wait::seconds(20), "RECORDING")?;
    stage.wait_for_log("hears this client's microphone", 1)?;
    ensure!(
        is_listed_as_heard(case)?,
        "`rdpmux sessions` does not say whose microphone is heard"
    );
    let heard = wait::until(wait::seconds(30), "the guest hears the tone", || {
        client.process.check()?;
        stage.vm.process.check()?;
        let serial = stage.vm.serial();
        let right = serial.lines().filter(|line| is_tone(line)).count();
        Ok((right >= 8).then_some(right))
    });
    let heard = heard.with_context(|| {
        format!(
            "it heard {:?}",
            stage.vm.serial().lines().rev().take(8).collect::<Vec<_>>()
        )
    })?;
    stage.press("f10")?;
    stage.vm.wait_for(wait::seconds(10), "RECORDED")?;
    stage.wait_for_log("the microphone is closed", 1)?;
    ensure!(
        !is_listed_as_heard(case)?,
        "`rdpmux sessions` says that the microphone is still heard"
    );
    client.process.check()?;
    Ok(format!(
        "the guest heard {HERTZ} Hz in {heard} quarters of a second; closed when it stopped to record"
    ))
}

fn admin_socket(case: &Case) -> PathBuf {
    case.sockets.path().join("admin.sock")
}

/// Whether the operator sees that the machine hears a microphone.
fn is_listed_as_heard(case: &Case) -> Result<bool> {
    let mut command = Command::new(daemon::program());
    command.args(["sessions", "--json", "--socket"]).arg(admin_socket(case));
    Ok(steps::output(&mut command)?.contains("\"microphone\":true"))
}

/// Whether the guest heard the tone, within 2 %: its clock is 8 kHz.
fn is_tone(line: &str) -> bool {
    let mut words = line.strip_prefix("HEARD ").unwrap_or_default().split_whitespace();
    let hertz = words.next().and_then(|word| word.parse::<f64>().ok()).unwrap_or(0.0);
    (hertz - HERTZ).abs() < HERTZ / 50.0
}

/// A minute of the tone, one channel.
fn minute() -> Vec<u8> {
    (0..RATE * 60)
        .flat_map(|frame| {
            let time = f64::from(frame) / f64::from(RATE);
            let sample = (std::f64::consts::TAU * HERTZ * time).sin() * 12_000.0;
            (sample as i16).to_le_bytes()
        })
        .collect()
}
