//! What is no text between two FreeRDP 3 clients: pictures, HTML, and files, which the client that pastes shows in a FUSE
//! file system (FreeRDP 2 of Debian is built without it; and both without PNG, so pictures are bitmaps). A viewer with a
//! one-way policy gives all of it and gets none.
//!
//! The clients have mounts of their own, so that nothing of a file system stays behind: the files are read through /proc.

use super::clipboard::{Copied, MACHINE, bitmap, configuration, has_same_pixels, pasted};
use crate::e2e::client::{Client, Config, Kind};
use crate::e2e::daemon::Daemon;
use crate::e2e::process;
use crate::e2e::qemu::{PASSWORD, serve};
use crate::e2e::report::{Case, Suite};
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::wait;
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("pictures and files between viewers", between);
}

const URIS: &str = "text/uri-list";

fn between(case: &Case) -> Result<String> {
    ensure!(
        Path::new("/dev/fuse").exists() && rustix::process::geteuid().is_root(),
        "files are pasted through FUSE: this needs /dev/fuse (`modprobe fuse`) and root"
    );
    let config = configuration(case, "")?;
    let daemon = serve(case, &config, &[])?;
    let _vm = Vm::start(case, MACHINE, Qemu::V10, &Guest::Kms("rdpmux.scene=idle"), &[])?;
    daemon.wait_for_machine(MACHINE)?;
    let alice = connect(case, &daemon, "alice")?;
    let bob = connect(case, &daemon, "bob")?;
    // dave's grant is one-way: in.
    let dave = connect(case, &daemon, "dave")?;
    let files = sample_files(case)?;
    for (round, giver, taker) in [(1, &alice, &bob), (2, &dave, &alice)] {
        picture(case, giver, taker, round)?;
        html(case, giver, taker)?;
        let _copied = copy_files(case, giver, &files)?;
        paste_files(taker, &files)?;
    }
    nothing_gets_out(case, &bob, &alice, &dave, &files)?;
    let log = daemon.process.output();
    for line in ["kind=\"images\"", "clipboard: list of files"] {
        ensure!(log.contains(line), "no audit line with {line}");
    }
    let read = log.matches("clipboard: a file is read").count();
    ensure!(
        read == 3 * files.len(),
        "{read} files were audited, and three times {} read",
        files.len()
    );
    ensure!(!log.contains(NAMES[0]), "the log has the name of a file");
    let bytes: usize = files.iter().map(|(_, content)| content.len()).sum();
    Ok(format!(
        "pictures, HTML and {} files of {} kB in all; one way is one way",
        files.len(),
        bytes / 1000
    ))
}

fn connect(case: &Case, daemon: &Daemon, user: &str) -> Result<Client> {
    let config = Config {
        kind: Kind::FreeRdp3,
        address: &daemon.address,
        user,
        password: PASSWORD,
        size: (1280, 800),
        more: &["+clipboard"],
        host: None,
    };
    let own_mounts = ["unshare", "--mount", "--propagation", "private"];
    let mut client = Client::start_in(&case.folder, user, &config, |command| {
        process::below(&own_mounts, command)
    })?;
    client.wait_for_any(&case.folder, wait::seconds(30), (1280, 800))?;
    Ok(client)
}

fn picture(case: &Case, giver: &Client, taker: &Client, seed: u32) -> Result<()> {
    let bmp = bitmap(seed);
    let _copied = Copied::new(case, &giver.display, "image/bmp", &bmp)?;
    wait::for_true(wait::seconds(20), "the bitmap can be pasted", || {
        Ok(has_same_pixels(&pasted(&taker.display, "image/bmp"), &bmp))
    })
}

fn html(case: &Case, giver: &Client, taker: &Client) -> Result<()> {
    let page = "<p>Grüße, <b>日本</b></p>";
    let _copied = Copied::new(case, &giver.display, "text/html", page.as_bytes())?;
    wait::for_true(wait::seconds(20), "the HTML can be pasted", || {
        let found = pasted(&taker.display, "text/html");
        Ok(String::from_utf8_lossy(&found).contains(page))
    })
}

/// The second is longer than one piece on the way.
const NAMES: [&str; 2] = ["Über uns.txt", "noise.bin"];

fn sample_files(case: &Case) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let noise = (0..3_000_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8);
    let contents = [b"a short text\n".to_vec(), noise.collect()];
    let folder = case.folder.join("files");
    fs::create_dir_all(&folder)?;
    let files = NAMES.iter().zip(contents).map(|(name, content)| {
        let path = folder.join(name);
        fs::write(&path, &content)?;
        Ok((path, content))
    });
    files.collect()
}

fn copy_files(case: &Case, giver: &Client, files: &[(PathBuf, Vec<u8>)]) -> Result<Copied> {
    let uris = files.iter().fold(String::new(), |all, (path, _)| {
        all + "file://" + &percent(&path.to_string_lossy()) + "\r\n"
    });
    Copied::new(case, &giver.display, URIS, uris.as_bytes())
}

fn paste_files(taker: &Client, files: &[(PathBuf, Vec<u8>)]) -> Result<()> {
    let root = PathBuf::from(format!("/proc/{}/root", taker.process.id()));
    let found = wait::until(wait::seconds(20), "the files can be pasted", || {
        let list = pasted(&taker.display, URIS);
        let list = String::from_utf8_lossy(&list);
        let paths = list.lines().filter_map(|line| line.trim().strip_prefix("file:///"));
        let paths: Vec<_> = paths.map(|path| root.join(plain(path))).collect();
        Ok((paths.len() == files.len()).then_some(paths))
    })?;
    for (path, (original, content)) in found.iter().zip(files) {
        ensure!(
            path.file_name() == original.file_name(),
            "{} is of another name",
            path.display()
        );
        let read = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(read == *content, "{} is another file", path.display());
    }
    Ok(())
}

/// What bob copies reaches alice and not dave.
fn nothing_gets_out(
    case: &Case,
    bob: &Client,
    alice: &Client,
    dave: &Client,
    files: &[(PathBuf, Vec<u8>)],
) -> Result<()> {
    let copied = copy_files(case, bob, files)?;
    paste_files(alice, files)?;
    stays_empty(dave, URIS)?;
    drop(copied);
    picture(case, bob, alice, 3)?;
    stays_empty(dave, "image/bmp")
}

fn stays_empty(viewer: &Client, kind: &str) -> Result<()> {
    let found = pasted(&viewer.display, kind);
    if !found.is_empty() {
        bail!("{} bytes of {kind} got out", found.len());
    }
    Ok(())
}

/// As in a URI.
fn percent(path: &str) -> String {
    path.bytes().fold(String::new(), |all, byte| match byte {
        b'/' | b'-' | b'.' | b'_' => all + char::from(byte).encode_utf8(&mut [0; 4]),
        _ if byte.is_ascii_alphanumeric() => all + char::from(byte).encode_utf8(&mut [0; 4]),
        _ => all + &format!("%{byte:02X}"),
    })
}

/// Without a URI's signs.
fn plain(path: &str) -> String {
    let mut out = Vec::new();
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = (*first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        out.push(code.unwrap_or(*first));
        rest = if code.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&out).into_owned()
}
