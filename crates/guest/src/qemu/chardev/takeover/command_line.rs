//! What the command line of a running QEMU says of its character devices. Only the process that made the QMP socket is
//! asked, and what is in doubt is left out.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use super::spec::{Spec, SpecError, options, pair};

/// Longest command line that is looked at.
const LONGEST: usize = 1 << 20;

/// What each label was, or why it could not be put back.
pub(super) type Said = HashMap<String, Result<Spec, SpecError>>;

/// Backends of the process; empty if it cannot be looked at. Reads files of `/proc`.
pub(super) fn of_process(id: i32) -> Said {
    let process = Path::new("/proc").join(id.to_string());
    let Ok(line) = fs::read(process.join("cmdline")) else {
        return Said::new();
    };
    if line.len() > LONGEST {
        return Said::new();
    }
    let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
    let directory = fs::read_link(process.join("cwd")).ok();
    said(&words, directory.as_deref())
}

/// When the process began, in the kernel's ticks. Together with its number it is one process for ever.
pub(super) fn start_of(id: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The program's name may have anything in it; after it field 22 is the twentieth.
    status.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

fn said(words: &[&str], directory: Option<&Path>) -> Said {
    let mut said = Said::new();
    let mut ports = 0;
    // Versions count `-serial none` differently.
    let mut is_sure = true;
    for pair in words.windows(2) {
        let [option, value] = pair else { continue };
        match option.trim_start_matches('-') {
            _ if !option.starts_with('-') => {}
            "chardev" => {
                if let Some((label, spec)) = chardev(value) {
                    said.insert(label, spec.and_then(|spec| spec.anchored(directory)));
                }
            }
            "serial" if *value == "none" => is_sure = false,
            "serial" => {
                let label = format!("serial{ports}");
                ports += 1;
                if is_sure && !value.starts_with("chardev:") {
                    let spec = Spec::parse(value).and_then(|spec| spec.anchored(directory));
                    said.insert(label, spec);
                }
            }
            _ => {}
        }
    }
    said
}

fn chardev(text: &str) -> Option<(String, Result<Spec, SpecError>)> {
    let mut words = options(text);
    if words.is_empty() {
        return None;
    }
    let (kind, _) = words.remove(0);
    let kind = match pair(kind.clone()) {
        (key, value) if key == "backend" => value,
        _ => kind,
    };
    let index = words.iter().position(|(key, _)| key == "id")?;
    let (_, label) = words.remove(index);
    Some((label, Spec::from_options(&kind, &words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_ports_and_chardevs_are_found_by_their_labels() {
        let line = "qemu -name x -serial file:a.log -serial pty -chardev socket,id=s,path=/r/s,server=on,wait=off -serial chardev:s \
                    -chardev file,id=f,path=/l -serial tcp::4555,server,nowait -chardev socket,id=c,host=h,port=1 --serial null -serial";
        let words: Vec<_> = line.split_whitespace().collect();
        let said = said(&words, Some(Path::new("/var")));
        let text = |label: &str| said.get(label).map(|spec| spec.as_ref().map(ToString::to_string));
        assert_eq!(text("serial0"), Some(Ok("file:/var/a.log".to_owned())));
        assert_eq!(text("serial1"), Some(Ok("pty".to_owned())));
        assert_eq!(text("serial2"), None, "it has the label of its chardev");
        assert_eq!(text("s"), Some(Ok("unix:/r/s,server=on".to_owned())));
        assert_eq!(text("f"), Some(Ok("file:/l".to_owned())));
        assert_eq!(text("serial3"), Some(Ok("tcp::4555,server=on".to_owned())));
        assert!(matches!(text("c"), Some(Err(SpecError::Client(_)))));
        assert_eq!(text("serial4"), Some(Ok("null".to_owned())));
    }

    #[test]
    fn what_is_in_doubt_is_left_out() {
        let said = said(
            &[
                "qemu",
                "-serial",
                "none",
                "-serial",
                "file:/a",
                "-chardev",
                "file,path=/b",
                "-chardev",
                "",
            ],
            None,
        );
        assert!(said.is_empty(), "{said:?}");
        assert_eq!(start_of(0), None);
        let own = std::process::id().cast_signed();
        assert!(start_of(own).is_some_and(|start| start > 0));
        assert!(of_process(own).is_empty());
    }
}
