//! What the file says of streams: where character devices outside of QEMU's display are, and where streams go besides to
//! their clients.

use std::path::Path;

use rdpmux_guest::outside::Source;
use toml::Spanned;

use super::check::number;
use super::error::Problems;
use super::raw;
use crate::registry::{Outlets, Records};

/// Judges `streams` of a `[[vm]]`.
pub(super) fn sources(texts: &[Spanned<String>], problems: &mut Problems<'_>) -> Vec<Source> {
    let mut sources: Vec<Source> = Vec::new();
    for text in texts {
        match text.get_ref().parse::<Source>() {
            Ok(source) if sources.iter().any(|other| other.name == source.name) => {
                let what = format!("`streams`: there is already one called `{}`", source.name);
                problems.at(text.span().start, what);
            }
            Ok(source) => sources.push(source),
            Err(error) => problems.at(text.span().start, format!("`streams`: {error}")),
        }
    }
    sources
}

/// Judges `[streams]`.
pub(super) fn outlets(raw: &raw::Streams, directory: &Path, problems: &mut Problems<'_>) -> Outlets {
    let mut count = |key, value: Option<&Spanned<i64>>, usual, most| {
        let value = value.map(|value| number(&format!("streams.{key}"), value, 1..=most, problems));
        value.unwrap_or(Some(usual)).unwrap_or(usual)
    };
    let mib = count("record_mib", raw.record_mib.as_ref(), 16, 1 << 20);
    let files = count("record_files", raw.record_files.as_ref(), 4, 1000);
    Outlets {
        records: raw.record_dir.as_ref().map(|dir| Records {
            dir: directory.join(dir.get_ref()),
            bytes: u64::from(mib) << 20,
            files,
        }),
        sockets: raw.socket_dir.as_ref().map(|dir| directory.join(dir.get_ref())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, Source};

    fn parse(vm: &str) -> Result<Config, String> {
        let text = format!("[[vm]]\nname = \"web1\"\n{vm}");
        Config::parse(&text, Path::new("/etc/x.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_machine_may_be_nothing_but_streams() {
        let config = parse("streams = [\"serial0=unix:/run/a\", \"log=file:/var/log/a\"]").expect("valid");
        let machine = &config.machines[0];
        assert_eq!(machine.source, Source::NoScreen);
        let shown: Vec<_> = machine.streams.iter().map(|source| source.place.to_string()).collect();
        assert_eq!(shown, ["unix:/run/a", "file:/var/log/a"]);
    }

    #[test]
    fn places_that_cannot_be_are_told_with_their_line() {
        for (vm, what) in [
            (
                "streams = [\"unix:/run/a\"]",
                "/etc/x.toml:3: `streams`: begin with the stream's name",
            ),
            ("streams = [\"a=unix:run\"]", "\"run\" has to be an absolute path"),
            (
                "streams = [\"a=unix:/a\",\n\"a=unix:/b\"]",
                "/etc/x.toml:4: `streams`: there is already one called `a`",
            ),
            ("", "neither `qmp` nor `dbus` nor `streams`"),
        ] {
            let error = parse(vm).expect_err(vm);
            assert!(error.contains(what), "{error}");
        }
    }
}
