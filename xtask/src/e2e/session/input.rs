//! Input: every scan code, wheel and buttons, lock keys, a guest without a tablet, fingers, characters typed on the guest's
//! keyboard, and how long a key takes while a film plays. The guests tell on their serial ports what they got.

use super::hands::Hands;
use crate::e2e::daemon::Daemon;
use crate::e2e::qemu::{PASSWORD, configure, serve};
use crate::e2e::report::{Case, Suite};
use crate::e2e::sampler::quantile;
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::wait;
use anyhow::{Context, Result, ensure};
use ironrdp_rdpei::pdu::TouchContactFlags;
use std::fs;
use std::time::Duration;

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("every key, button and wheel arrives", keys_and_buttons);
    suite.case("a guest without a tablet follows the pointer", relative);
    suite.case("fingers reach a touch screen", fingers);
    suite.case("the first finger is the pointer of other guests", first_finger);
    for layout in ["us", "de"] {
        suite.case(&format!("characters are typed on a {layout} keyboard"), |case| {
            characters(case, layout)
        });
    }
    suite.case("a key is fast while a film plays", latency);
}

struct Stage {
    daemon: Daemon,
    vm: Vm,
}

fn stage(case: &Case, qemu: Qemu, guest: &Guest, settings: &str, more: &[&str]) -> Result<Stage> {
    let config = configure(case, settings)?;
    let daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start(case, "web1", qemu, guest, more)?;
    vm.wait_for(wait::seconds(120), "READY")?;
    daemon.wait_for_machine("web1")?;
    Ok(Stage { daemon, vm })
}

impl Stage {
    fn hands(&self, user: &str) -> Result<Hands> {
        Hands::at(&self.daemon.address, user, PASSWORD)
    }

    /// What the guest says from now on until `word`.
    fn said(&mut self, from: usize, word: &str) -> Result<Vec<String>> {
        let text = wait::until(wait::seconds(20), &format!("the guest says {word:?}"), || {
            self.vm.process.check()?;
            let text = self.vm.serial().split_off(from);
            Ok(text.lines().any(|line| line == word).then_some(text))
        })
        .with_context(|| format!("it said {:?}", self.vm.serial().split_off(from)))?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// The Linux key of a scan code, where both are known to everybody.
fn linux_key(extended: bool, code: u8) -> Option<u16> {
    if !extended {
        return match code {
            // 0x54 is SysRq with Alt, which the kernel takes for itself.
            0x01..=0x53 | 0x56..=0x58 => Some(code.into()),
            _ => None,
        };
    }
    [
        (0x10, 165),
        (0x19, 163),
        (0x1C, 96),
        (0x1D, 97),
        (0x20, 113),
        (0x21, 140),
        (0x22, 164),
        (0x24, 166),
        (0x2E, 114),
        (0x30, 115),
        (0x35, 98),
        (0x37, 99),
        (0x38, 100),
        (0x47, 102),
        (0x48, 103),
        (0x49, 104),
        (0x4B, 105),
        (0x4D, 106),
        (0x4F, 107),
        (0x50, 108),
        (0x51, 109),
        (0x52, 110),
        (0x53, 111),
        (0x5B, 125),
        (0x5C, 126),
        (0x5D, 127),
        (0x5E, 116),
        (0x5F, 142),
        (0x63, 143),
    ]
    .into_iter()
    .find_map(|(known, key)| (known == code).then_some(key))
}

/// Evdev key that ends a list: the space bar.
const END: (u8, &str) = (0x39, "KEY 57 0");

fn keys_and_buttons(case: &Case) -> Result<String> {
    let more = ["-device", "virtio-tablet-pci"];
    let mut stage = stage(case, Qemu::V7, &Guest::KmsMouse("rdpmux.scene=idle"), "", &more)?;
    let hands = stage.hands("alice")?;
    let (mut right, mut silent) = (0, 0);
    for (flags, code) in [0, 2]
        .into_iter()
        .flat_map(|flags| (1..=0x7F).map(move |code| (flags, code)))
    {
        // F1 to F5 change what the guest shows; the space bar ends each list.
        if flags == 0 && ((0x3B..=0x3F).contains(&code) || code == END.0) {
            continue;
        }
        let from = stage.vm.serial().len();
        hands.tap(flags, code)?;
        hands.tap(0, END.0)?;
        let said = stage.said(from, END.1)?;
        let other: Vec<&str> = said
            .iter()
            .map(String::as_str)
            .filter(|line| line.starts_with("KEY ") && !line.starts_with("KEY 57 "))
            .collect();
        match linux_key(flags == 2, code) {
            Some(key) => {
                let expected = [format!("KEY {key} 1"), format!("KEY {key} 0")];
                ensure!(other == expected, "{flags} {code:#x} was {other:?}, not key {key}");
                right += 1;
            }
            // A code that no keyboard has: at most one key that this kernel has a name for.
            None => {
                ensure!(other.len() <= 2, "{flags} {code:#x} was {other:?}");
                silent += 1;
            }
        }
    }
    let from = stage.vm.serial().len();
    hands.say(&[&[4, 0x1D], &[0, 0x45], &[5, 0x1D], &[1, 0x45]])?;
    let said = stage.said(from, "KEY 119 0")?;
    ensure!(
        !said.iter().any(|line| line.starts_with("KEY 69 ")),
        "Pause was Num Lock"
    );
    buttons(&mut stage, &hands)?;
    let locks = locks(&mut stage, &hands)?;
    Ok(format!(
        "{right} scan codes and Pause right, {silent} others harmless; the wheel, five buttons; {locks}"
    ))
}

fn buttons(stage: &mut Stage, hands: &Hands) -> Result<()> {
    let from = stage.vm.serial().len();
    // A tap of a telephone: a click without a move before it.
    hands.mouse(1, 0x9000, 640, 400)?;
    hands.mouse(1, 0x1000, 640, 400)?;
    stage.said(from, "BTN 272 1")?;
    stage.said(from, "BTN 272 0")?;
    // The tablet's own numbers are coarser than pixels.
    let is_near = |line: &str| matches!(line, "PTR 640 400" | "PTR 639 399" | "PTR 639 400" | "PTR 640 399");
    wait::for_true(wait::seconds(10), "the tap moves the pointer", || {
        Ok(stage.vm.serial().split_off(from).lines().any(is_near))
    })?;
    for (kind, flags, word) in [
        (1, 0xA000, "BTN 273 1"),
        (1, 0x2000, "BTN 273 0"),
        (1, 0xC000, "BTN 274 1"),
        (1, 0x4000, "BTN 274 0"),
        (2, 0x8001, "BTN 275 1"),
        (2, 0x0001, "BTN 275 0"),
        (2, 0x8002, "BTN 276 1"),
        (2, 0x0002, "BTN 276 0"),
        (1, 0x0200 | 120, "WHEEL 8 1"),
        (1, 0x0300 | (0x100 - 120), "WHEEL 8 -1"),
    ] {
        let from = stage.vm.serial().len();
        hands.mouse(kind, flags, 640, 400)?;
        stage.said(from, word)?;
    }
    Ok(())
}

/// The guest's kernel lights the lamps.
fn locks(stage: &mut Stage, hands: &Hands) -> Result<String> {
    const NUM: u16 = 2;
    const CAPS: u16 = 4;
    let second = stage.hands("bob")?;
    // Every key was pressed once above; from a known state.
    hands.sync(0)?;
    hands.sync(0)?;
    wait::for_true(wait::seconds(20), "the lamps are dark", || {
        let dark = hands.lamps_now()?.unwrap_or(0) == 0;
        Ok(dark)
    })?;
    let from = stage.vm.serial().len();
    for _ in 0..3 {
        hands.sync(6)?;
        second.sync(6)?;
    }
    hands.lamps(NUM | CAPS)?;
    second.lamps(NUM | CAPS)?;
    second.sync(6)?;
    second.sync(4)?;
    hands.lamps(CAPS)?;
    second.sync(0)?;
    hands.lamps(0)?;
    let said = stage.vm.serial().split_off(from);
    let presses = |key: u16| said.lines().filter(|line| *line == format!("KEY {key} 1")).count();
    ensure!(
        (presses(69), presses(58), presses(70)) == (2, 2, 0),
        "lock keys were pressed too often: {said}"
    );
    Ok("two viewers' lock keys and the guest's lamps agree".to_owned())
}

fn relative(case: &Case) -> Result<String> {
    let mut stage = stage(case, Qemu::V7, &Guest::KmsMouse("rdpmux.scene=idle"), "", &[])?;
    let hands = stage.hands("alice")?;
    wait::for_true(wait::seconds(20), "the guest has found its mouse", || {
        hands.mouse(5, 0x0800, 3, 3)?;
        std::thread::sleep(Duration::from_millis(200));
        Ok(stage.vm.serial().contains("PTR"))
    })?;
    for (x, y) in [(600, 500), (20, 30), (1279, 799), (700, 100)] {
        let from = stage.vm.serial().len();
        hands.mouse(1, 0x0800, x, y)?;
        stage.said(from, &format!("PTR {x} {y}"))?;
    }
    // The protocol's own deltas, with a button.
    let from = stage.vm.serial().len();
    hands.mouse(5, 0x0800, -50, 70)?;
    stage.said(from, "PTR 650 170")?;
    hands.mouse(5, 0x9000, 0, 0)?;
    hands.mouse(5, 0x1000, 0, 0)?;
    stage.said(from, "BTN 272 0")?;
    // And back to positions.
    hands.mouse(1, 0x0800, 655, 175)?;
    stage.said(from, "PTR 655 175")?;
    // The wheel that only a PS/2 mouse has in QEMU 7.2.
    for (flags, word) in [(0x0400 | 120, "WHEEL 6 1"), (0x0500 | (0x100 - 120), "WHEEL 6 -1")] {
        let from = stage.vm.serial().len();
        hands.mouse(1, flags, 0, 0)?;
        stage.said(from, word)?;
    }
    Ok("positions and deltas arrive to the pixel; the wheel turns sideways".to_owned())
}

const DOWN: TouchContactFlags = TouchContactFlags::DOWN
    .union(TouchContactFlags::INRANGE)
    .union(TouchContactFlags::INCONTACT);
const MOVE: TouchContactFlags = TouchContactFlags::UPDATE
    .union(TouchContactFlags::INRANGE)
    .union(TouchContactFlags::INCONTACT);

fn fingers(case: &Case) -> Result<String> {
    let more = ["-device", "virtio-multitouch-pci"];
    let guest = Guest::Kms("rdpmux.scene=idle");
    let mut stage = stage(case, Qemu::V10, &guest, "", &more)?;
    let hands = stage.hands("alice")?;
    let from = stage.vm.serial().len();
    hands.touch(7, 320, 200, DOWN)?;
    hands.touch(9, 640, 400, DOWN)?;
    hands.touch(7, 960, 600, MOVE)?;
    hands.touch(7, 960, 600, TouchContactFlags::UP)?;
    let said = stage.said(from, "TOUCH 0 up")?;
    for (word, most) in [
        ("TOUCH 0 x ", [320, 960]),
        ("TOUCH 0 y ", [200, 600]),
        ("TOUCH 1 x ", [640, 640]),
    ] {
        let places: Vec<i32> = said
            .iter()
            .filter_map(|line| line.strip_prefix(word)?.parse().ok())
            .collect();
        let is_near = |at: i32| places.iter().any(|place| (at - 1..=at).contains(place));
        ensure!(most.into_iter().all(is_near), "{word}{places:?}, expected {most:?}");
    }
    // The other finger goes up with its viewer.
    drop(hands);
    stage.said(from, "TOUCH 1 up")?;
    Ok("two fingers arrive in their places".to_owned())
}

fn first_finger(case: &Case) -> Result<String> {
    let old = stage(case, Qemu::V7, &Guest::Kms("rdpmux.scene=idle"), "", &[])?;
    let hands = old.hands("alice")?;
    wait::for_true(wait::seconds(10), "the finger arrives", || {
        // Anew each time: the guest's tablet may become ready only now.
        hands.touch(3, 320, 200, DOWN)?;
        hands.touch(4, 900, 700, DOWN)?;
        hands.touch(3, 640, 400, MOVE)?;
        hands.touch(4, 900, 700, TouchContactFlags::UP)?;
        hands.touch(3, 640, 400, TouchContactFlags::UP)?;
        std::thread::sleep(Duration::from_millis(300));
        Ok(old.vm.serial().contains("BTN 272 0"))
    })?;
    ensure!(
        !old.vm.serial().contains("PTR 9"),
        "the second finger moved the pointer"
    );
    Ok("taps and drags with the first finger, the second is left out".to_owned())
}

fn characters(case: &Case, layout: &'static str) -> Result<String> {
    let settings = format!("layout = {layout:?}\n");
    let mut stage = stage(case, Qemu::V7, &Guest::Typist(layout), &settings, &[])?;
    let hands = stage.hands("alice")?;
    let line = match layout {
        "de" => {
            "Zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich: ÄÖÜß €µ²³§° @{[]}\\~|<> ^` é è ê à É Û 'x' \"y\" #+*-_.;,:!?/&%$=()"
        }
        _ => "The quick brown fox, 0123456789 !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ JUMPS over the LAZY dog",
    };
    // With Caps Lock on, too, and with what no such keyboard has in between.
    for (caps, lamps) in [(0, 0), (4, 4)] {
        hands.sync(caps)?;
        if caps != 0 {
            hands.lamps(lamps)?;
        }
        let from = stage.vm.serial().len();
        hands.unit(0xD83E)?;
        hands.unicode("漢🦀")?;
        hands.unit(0xDD80)?;
        hands.unicode(line)?;
        hands.unicode("\r")?;
        stage.said(from, &format!("LINE {line}"))?;
    }
    let log = stage.daemon.process.output();
    for word in ["is not on the guest's keyboard", "halves of unicode surrogate pairs"] {
        let count = log.lines().filter(|line| line.contains(word)).count();
        ensure!(count == 1, "the daemon says {word:?} {count} times");
    }
    Ok(format!(
        "{} characters twice, with and without Caps Lock; others left out",
        line.chars().count()
    ))
}

const KEYS: usize = 200;
const GAP: Duration = Duration::from_millis(37);

/// Inside the daemon, by its own log: from a key's message, decrypted, to its call written on QEMU's socket. And from the client's
/// write to QEMU's input core, by QEMU's trace, which adds sockets, TLS, and a main loop that also shows the film.
fn latency(case: &Case) -> Result<String> {
    let trace = case.folder.join("trace.log");
    let path = trace.display().to_string();
    let more = [
        "-trace",
        "input_event_key_qcode",
        "-msg",
        "timestamp=on",
        "-D",
        path.as_str(),
    ];
    let config = configure(case, "")?;
    let log = "info,rdpmux_server::session::drive=trace,rdpmux_guest=debug,rdpmux_guest::qemu::input=trace";
    let daemon = serve(case, &config, &[("RUST_LOG", log)])?;
    let guest = Guest::Kms("rdpmux.scene=video rdpmux.fps=30");
    let mut vm = Vm::start(case, "web1", Qemu::V7, &guest, &more)?;
    vm.wait_for(wait::seconds(120), "READY")?;
    daemon.wait_for_machine("web1")?;
    let hands = Hands::at(&daemon.address, "alice", PASSWORD)?;
    for _ in 0..KEYS {
        std::thread::sleep(GAP);
        hands.tap(0, END.0)?;
    }
    wait::for_true(wait::seconds(20), "the daemon has given all keys to QEMU", || {
        let log = daemon.process.output();
        Ok(log.matches("a step went to qemu").count() >= 2 * KEYS)
    })?;
    // QEMU says nothing of what it took while it runs.
    std::thread::sleep(Duration::from_secs(1));
    let written = hands.written()?;
    // QEMU writes the rest of its trace when it ends.
    vm.process.end();
    let taken = traced(&fs::read_to_string(&trace)?);
    let outer = figures(&written, &taken)?;
    let log = daemon.process.output();
    // A tap is two steps; the first is the key going down.
    let firsts = |word| logged(&log, word).into_iter().step_by(2).collect::<Vec<_>>();
    let inner = figures(&firsts("an input event came"), &firsts("a step went to qemu"))?;
    Ok(format!(
        "inside the daemon {inner}; client's write to QEMU's input core {outer}"
    ))
}

/// The quantiles of the times between two lists of moments.
fn figures(from: &[Duration], to: &[Duration]) -> Result<String> {
    ensure!(
        from.len() == KEYS && to.len() == KEYS,
        "{} and {} keys, not {KEYS}",
        from.len(),
        to.len()
    );
    let between = |(from, to): (&Duration, &Duration)| to.saturating_sub(*from).as_secs_f64() * 1e3;
    let mut times: Vec<f64> = from.iter().zip(to).map(between).collect();
    times.sort_by(f64::total_cmp);
    let (p50, p95) = (quantile(&times, 0.5), quantile(&times, 0.95));
    Ok(format!("p50 {p50:.2} ms, p95 {p95:.2} ms"))
}

/// The moments of the log's lines with `word`, within their day.
fn logged(log: &str, word: &str) -> Vec<Duration> {
    let time = |line: &str| {
        let (_, time) = line.split_whitespace().next()?.split_once('T')?;
        let mut parts = time.trim_end_matches('Z').split(':');
        let hours: f64 = parts.next()?.parse().ok()?;
        let minutes: f64 = parts.next()?.parse().ok()?;
        let seconds: f64 = parts.next()?.parse().ok()?;
        Some(Duration::from_secs_f64(hours * 3600.0 + minutes * 60.0 + seconds))
    };
    log.lines()
        .filter(|line| line.contains(word))
        .filter_map(time)
        .collect()
}

/// When keys went down, by lines such as `12@1700000000.123456:input_event_key_qcode con 0, key qcode spc [8], down 1`.
fn traced(log: &str) -> Vec<Duration> {
    let time = |line: &str| {
        let (head, rest) = line.split_once(":input_event_key_qcode")?;
        let (seconds, micros) = head.split_once('@')?.1.split_once('.')?;
        let at = Duration::new(seconds.parse().ok()?, micros.parse::<u32>().ok()? * 1000);
        rest.trim_end().ends_with("down 1").then_some(at)
    };
    log.lines().filter_map(time).collect()
}
