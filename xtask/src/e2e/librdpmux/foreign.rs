//! The foreign backend against our daemon: both ports, keys and mouse back, the listener object, registrations that cannot
//! be, credential files, and a machine that comes again.

use super::stage::{LISTENER, Machine, NAME, Puppet, SIZE, Stage, listener, shows, uuid, viewer};
use crate::e2e::client::Client;
use crate::e2e::picture::Picture;
use crate::e2e::process;
use crate::e2e::report::{Case, Suite};
use crate::e2e::wait;
use crate::peers_c;
use anyhow::{Result, ensure};
use std::fs;

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("a foreign backend on both ports", both_ports);
    suite.case("the listener object", listener_object);
    suite.case("credential files", credentials);
    suite.case("registrations that cannot be", refusals);
    suite.case("a killed backend and its UUID", killed);
}

fn both_ports(case: &Case) -> Result<String> {
    let stage = Stage::start(case, "")?;
    let mut machine = Machine::start(case, &stage, 1, 0, "")?;
    let said = machine.puppet.says("versions ")?;
    ensure!(said == "5 of 2", "supported versions: {said}");
    let expected = machine.show(case, "x8r8g8b8", SIZE, 1)?;
    let mut shared = stage.viewer(case, "shared", &machine.uuid, &["/gfx"])?;
    let port = stage.port(&machine.uuid)?;
    let mut own = stage.viewer_at_port(case, "own", port, &["/gfx"])?;
    shows(case, &mut shared, "the picture through the shared port", &expected)?;
    shows(case, &mut own, "the picture at the machine's own port", &expected)?;
    let expected = machine.fill(case, (100, 50, 200, 120), 0xff_80_00)?;
    shows(case, &mut shared, "the update", &expected)?;
    shows(case, &mut own, "the update", &expected)?;
    let answer = machine.puppet.says("complete ")?;
    ensure!(answer.starts_with("1 "), "an update is answered by {answer}");
    hands(&machine.puppet, &own, (300, 200))?;
    hands(&machine.puppet, &shared, (310, 210))?;
    machine.puppet.does("quit")?;
    for client in [&mut shared, &mut own] {
        client.wait_for_end(wait::seconds(20))?;
    }
    ensure!(
        stage.port(&machine.uuid).is_err(),
        "the listener object outlived its machine"
    );
    Ok(format!(
        "picture, update, keys and mouse by port {port} and by the shared one"
    ))
}

/// What is typed and clicked in a client reaches the backend as RDPMux sent it, in order.
fn hands(puppet: &Puppet, client: &Client, (x, y): (usize, usize)) -> Result<()> {
    let input = || -> Vec<String> {
        let output = puppet.process.output();
        let is_input = |line: &&str| line.starts_with("kb ") || line.starts_with("mouse ");
        output.lines().filter(is_input).map(str::to_owned).collect()
    };
    let before = input().len();
    client.display.point(x, y)?;
    client.display.keys(&["a", "Up"])?;
    client.display.click(3)?;
    // Motion 0x0800; keys 0x4000 down, 0x8000 up, 0x0100 for the arrow's prefix; the right button 0x2000, 0x8000 down.
    let wanted = [
        format!("mouse {x} {y} {}", 0x0800),
        format!("kb 30 {}", 0x4000),
        format!("kb 30 {}", 0x8000),
        format!("kb 72 {}", 0x4100),
        format!("kb 72 {}", 0x8100),
        format!("mouse {x} {y} {}", 0xa000),
        format!("mouse {x} {y} {}", 0x2000),
    ];
    wait::for_true(
        wait::seconds(10),
        "typed keys and a click reach the backend in order",
        || {
            let seen = input();
            let mut rest = seen[before..].iter();
            Ok(wanted.iter().all(|wanted| rest.any(|line| line == wanted)))
        },
    )
}

fn listener_object(case: &Case) -> Result<String> {
    let stage = Stage::start(case, "")?;
    let mut machine = Machine::start(case, &stage, 1, 0, "")?;
    let expected = machine.show(case, "x8r8g8b8", SIZE, 1)?;
    let bus = &stage.bus;
    let (object, uuid) = (listener(&machine.uuid), machine.uuid.clone());
    let tree = bus.busctl(&["tree", "--list", NAME])?;
    for path in ["/org/RDPMux/RDPMux", "/org/RDPMux/Server", &object] {
        ensure!(tree.lines().any(|line| line.trim() == path), "no {path} in {tree}");
    }
    let alias = [
        "get-property",
        "org.RDP.RDPMux",
        "/org/RDPMux/Server",
        NAME,
        "SupportedProtocolVersions",
    ];
    let versions = bus.busctl(&alias)?;
    ensure!(versions.trim() == "ai 2 5 6", "the documented alias says {versions}");
    let mut signals = std::process::Command::new("busctl");
    signals.arg(format!("--address={}", bus.address));
    signals.args(["monitor", "--match", "type='signal',member='PropertiesChanged'"]);
    let signals = process::Process::start(&signals, &case.folder.join("signals.log"), "")?;
    wait::for_true(wait::seconds(10), "busctl listens", || {
        Ok(signals.output().contains("Monitoring"))
    })?;
    let mut client = stage.viewer(case, "client", &uuid, &["/gfx"])?;
    shows(case, &mut client, "the picture", &expected)?;
    let is = |name: &str, value: &str| -> Result<()> {
        wait::for_true(wait::seconds(10), &format!("{name} is {value}"), || {
            Ok(bus.property(&uuid, name)? == value)
        })
    };
    is("NumConnectedPeers", "i 1")?;
    is("RequiresAuthentication", "b true")?;
    bus.busctl(&["call", NAME, &object, LISTENER, "SetAuthentication", "b", "false"])?;
    is("RequiresAuthentication", "b false")?;
    let port = stage.port(&uuid)?;
    let mut anybody = viewer(
        case,
        "anybody",
        &format!("127.0.0.1:{port}"),
        "nobody",
        &["/gfx", "/sec:tls"],
    )?;
    shows(case, &mut anybody, "the picture for anybody", &expected)?;
    is("NumConnectedPeers", "i 2")?;
    for name in ["NumConnectedPeers", "RequiresAuthentication"] {
        wait::for_true(wait::seconds(5), &format!("a signal for {name}"), || {
            Ok(signals.output().contains(name))
        })?;
    }
    bus.busctl(&["call", NAME, &object, LISTENER, "Shutdown"])?;
    for client in [&mut client, &mut anybody] {
        client.wait_for_end(wait::seconds(20))?;
    }
    wait::for_true(wait::seconds(10), "the object is gone", || {
        Ok(stage.port(&uuid).is_err())
    })?;
    ensure!(
        std::net::TcpStream::connect(("127.0.0.1", port)).is_err(),
        "port {port} is open after the shutdown"
    );
    Ok("listed, read, told by signals, authentication switched, shut down".to_owned())
}

fn credentials(case: &Case) -> Result<String> {
    let stage = Stage::start(case, "")?;
    let file = case.folder.join("machine.sam");
    // The NT hash of "password".
    fs::write(&file, "carol:::8846F7EAEE8FB117AD06BDD830B7586C:::\n")?;
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let mut machine = Machine::start(case, &stage, 1, 0, &file.display().to_string())?;
    let expected = machine.show(case, "x8r8g8b8", SIZE, 1)?;
    let port = stage.port(&machine.uuid)?;
    let requires = stage.bus.property(&machine.uuid, "RequiresAuthentication")?;
    ensure!(requires == "b true", "RequiresAuthentication is {requires}");
    let address = format!("127.0.0.1:{port}");
    let with = |name: &str, user: &str, password: &str, security: &str| -> Result<Client> {
        let mut config = super::stage::client(&address, user, &[]);
        let more = ["/gfx", security];
        (config.password, config.more) = (password, &more);
        Client::start(&case.folder, name, &config)
    };
    let mut carol = with("carol", "carol", "password", "/sec:nla")?;
    shows(case, &mut carol, "the picture for carol", &expected)?;
    for (name, user, password, security) in [
        ("wrong", "carol", "passwort", "/sec:nla"),
        ("daemons", "alice", crate::e2e::qemu::PASSWORD, "/sec:nla"),
        ("tls", "carol", "password", "/sec:tls"),
    ] {
        with(name, user, password, security)?.wait_for_end(wait::seconds(20))?;
    }
    carol.process.check()?;
    // A machine that registered without one is given it later.
    let mut late = Machine::start(case, &stage, 2, 0, "")?;
    let expected = late.show(case, "x8r8g8b8", SIZE, 2)?;
    let path = file.display().to_string();
    let object = listener(&late.uuid);
    stage
        .bus
        .busctl(&["call", NAME, &object, LISTENER, "SetCredentialFile", "s", &path])?;
    let port = stage.port(&late.uuid)?;
    let mut config = super::stage::client("", "carol", &["/gfx", "/sec:nla"]);
    let address = format!("127.0.0.1:{port}");
    (config.address, config.password) = (&address, "password");
    let mut client = Client::start(&case.folder, "late", &config)?;
    shows(
        case,
        &mut client,
        "the picture of a machine that was given a file",
        &expected,
    )?;
    Ok(
        "NLA by the file's user, of Register or of SetCredentialFile; others, wrong passwords and TLS alone refused"
            .to_owned(),
    )
}

/// A backend that is told no.
fn refused(case: &Case, stage: &Stage, name: &str, words: &[&str]) -> Result<()> {
    let program = peers_c::librdpmux_backend()?;
    let mut puppet = Puppet::start(case, name, &program, &stage.bus, words, process::again)?;
    wait::for_true(wait::seconds(10), &format!("{name} is refused"), || {
        Ok(puppet.process.ended().is_some())
    })?;
    let output = puppet.process.output();
    ensure!(output.contains("refused"), "{name}: {output}");
    Ok(())
}

fn refusals(case: &Case) -> Result<String> {
    let stage = Stage::start(case, "")?;
    let mut machine = Machine::start(case, &stage, 1, 0, "")?;
    let expected = machine.show(case, "x8r8g8b8", SIZE, 1)?;
    let taken = stage.port(&machine.uuid)?.to_string();
    let (id, fresh) = (super::stage::id(2).to_string(), uuid(2));
    let same = machine.uuid.clone();
    let cases: [(&str, &[&str]); 7] = [
        ("version", &[&id, &fresh, "0", "", "4"]),
        ("negative-id", &["-1", &fresh]),
        ("no-uuid", &[&id, "not-a-uuid"]),
        ("long-uuid", &[&id, &format!("{fresh}0")]),
        ("same-uuid", &[&id, &same]),
        ("same-id", &[&super::stage::id(1).to_string(), &fresh]),
        ("taken-port", &[&id, &fresh, &taken]),
    ];
    for (name, words) in cases {
        refused(case, &stage, name, words)?;
    }
    let log = stage.daemon.process.output();
    let told = log.matches("registration refused").count();
    ensure!(
        told == cases.len(),
        "the log tells of {told} of {} refusals",
        cases.len()
    );
    let mut client = stage.viewer(case, "client", &machine.uuid, &["/gfx"])?;
    shows(case, &mut client, "the picture of the good one", &expected)?;
    Ok(format!("{told} refused with an empty path and a line of the log each"))
}

fn killed(case: &Case) -> Result<String> {
    let stage = Stage::start(case, "")?;
    let mut machine = Machine::start(case, &stage, 1, 0, "")?;
    let expected = machine.show(case, "x8r8g8b8", SIZE, 1)?;
    let mut client = stage.viewer(case, "client", &machine.uuid, &["/gfx"])?;
    shows(case, &mut client, "the picture", &expected)?;
    machine.puppet.process.kill();
    let is_card = |picture: &Picture| picture.differing(&expected) > picture.pixels.len() / 2;
    client.wait_for(&case.folder, wait::seconds(10), "a card", SIZE, is_card)?;
    // The dead one's files go with it only now, as those of a machine that is started again at once.
    let mut again = Machine::start(case, &stage, 1, 0, "")?;
    let expected = again.show(case, "r5g6b5", SIZE, 2)?;
    let mut client = stage.viewer(case, "after", &again.uuid, &["/gfx"])?;
    shows(case, &mut client, "the picture of the next one", &expected)?;
    again.puppet.process.kill();
    wait::for_true(wait::seconds(20), "a machine without a backend is unregistered", || {
        Ok(stage.port(&again.uuid).is_err())
    })?;
    let memory = format!("/dev/shm/{}.rdpmux", again.id);
    ensure!(!fs::exists(&memory)?, "{memory} outlived its machine");
    Ok("viewers saw a card, the UUID was free at once, the memory is gone".to_owned())
}
