//! What a machine's section says of its character devices: which are taken over, and what they are.

use std::collections::BTreeMap;

use rdpmux_guest::qemu::Spec;
use rdpmux_model::Pattern;
use toml::Spanned;

use super::error::Problems;
use super::raw;

/// What is brought in by QMP besides the screen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TakeOver {
    /// Labels of character devices that are taken over.
    pub labels: Vec<Pattern>,
    /// What they are, where QEMU does not tell.
    pub restore: BTreeMap<String, Spec>,
    /// Whether QEMU's monitor is a stream.
    pub monitor: bool,
}

/// Judges a `[[vm]]`.
pub(super) fn of_vm(entry: &Spanned<raw::Vm>, problems: &mut Problems<'_>) -> TakeOver {
    let vm = entry.get_ref();
    if let (None, Some(label)) = (&vm.qmp, vm.take_over.first()) {
        problems.at(
            label.span().start,
            "`take_over` needs `qmp`; a machine on a bus has its ports as `-chardev dbus`",
        );
    }
    if let (None, Some(monitor)) = (&vm.qmp, &vm.monitor) {
        problems.at(monitor.span().start, "`monitor` needs `qmp`");
    }
    let labels = labels(&vm.take_over, problems);
    let mut restore = BTreeMap::new();
    for (label, text) in &vm.restore {
        if !labels.iter().any(|pattern| pattern.matches(label)) {
            let what = format!("`restore.{label}`: `take_over` has no `{label}`");
            problems.at(text.span().start, what);
        }
        match Spec::parse(text.get_ref()).and_then(|spec| spec.anchored(None)) {
            Ok(spec) => {
                restore.insert(label.clone(), spec);
            }
            Err(why) => problems.at(text.span().start, format!("`restore.{label}`: {why}")),
        }
    }
    TakeOver {
        labels,
        restore,
        monitor: is_on(&vm.monitor),
    }
}

fn is_on(value: &Option<Spanned<bool>>) -> bool {
    value.as_ref().is_some_and(|value| *value.get_ref())
}

/// Judges a `[[discover]]`: its machines have nothing of their own.
pub(super) fn of_all(entry: &Spanned<raw::Discover>, problems: &mut Problems<'_>) -> TakeOver {
    TakeOver {
        labels: labels(&entry.get_ref().take_over, problems),
        restore: BTreeMap::new(),
        monitor: is_on(&entry.get_ref().monitor),
    }
}

fn labels(texts: &[Spanned<String>], problems: &mut Problems<'_>) -> Vec<Pattern> {
    for text in texts.iter().filter(|text| text.get_ref().is_empty()) {
        problems.at(text.span().start, "`take_over` has an empty entry");
    }
    texts.iter().map(|text| Pattern::new(text.get_ref().as_str())).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::Config;

    fn parse(vm: &str) -> Result<Config, String> {
        let text = format!("[[vm]]\nname = \"web1\"\n{vm}");
        Config::parse(&text, Path::new("/etc/x.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn labels_and_what_they_were_are_read() {
        let text = "qmp = \"/q\"\ntake_over = [\"serial*\"]\nrestore.serial0 = \"file:/var/log/web1.log\"\n\
                    [vm.restore]\nserial1 = \"pty\"";
        let apart =
            parse("qmp = \"/q\"\ntake_over = [\"serial*\"]\n[vm.restore]\nserial0 = \"file:/l\"").expect("valid");
        assert_eq!(apart.machines[0].take_over.restore["serial0"].to_string(), "file:/l");
        assert!(parse(text).is_err(), "once only");
        let none = parse("qmp = \"/q\"").expect("valid");
        assert_eq!(none.machines[0].take_over, super::TakeOver::default());
        let text = "[[discover]]\nqmp = \"/run/*.qmp\"\ntake_over = [\"serial0\", \"con*\"]";
        let all = Config::parse(text, Path::new("/etc/x.toml")).expect("valid");
        assert_eq!(all.discover[0].take_over.labels.len(), 2);
    }

    #[test]
    fn what_could_not_be_put_back_is_refused_with_its_line() {
        for (vm, what) in [
            (
                "dbus = \"unix:path=/b\"\ntake_over = [\"serial0\"]",
                "/etc/x.toml:4: `take_over` needs `qmp`",
            ),
            (
                "qmp = \"/q\"\ntake_over = [\"serial0\"]\nrestore.serial1 = \"pty\"",
                "/etc/x.toml:5: `restore.serial1`: `take_over` has no `serial1`",
            ),
            (
                "qmp = \"/q\"\ntake_over = [\"s\"]\nrestore.s = \"file:log\"",
                "/etc/x.toml:5: `restore.s`: the path log does not begin with /",
            ),
            (
                "qmp = \"/q\"\ntake_over = [\"s\"]\nrestore.s = \"unix:/a\"",
                "is a client of unix:/a",
            ),
            (
                "dbus = \"unix:path=/b\"\nmonitor = true",
                "/etc/x.toml:4: `monitor` needs `qmp`",
            ),
            (
                "qmp = \"/q\"\ntake_over = [\"\"]",
                "/etc/x.toml:4: `take_over` has an empty entry",
            ),
            (
                "qmp = \"/q\"\nrestore = \"file:/a\"",
                "/etc/x.toml:4: `restore` takes a table of texts",
            ),
        ] {
            let error = parse(vm).expect_err(vm);
            assert!(error.contains(what), "{error}");
        }
    }
}
