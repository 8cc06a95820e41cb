//! How clients get in, and what those are told that do not.

use super::{SIZE, demo, viewer, viewer_as};
use crate::e2e::client::{Client, Config, Kind};
use crate::e2e::report::{Case, Suite};
use crate::e2e::wait;
use anyhow::{Context, Result, bail};

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("logins", logins);
    suite.case("wrong password", wrong_password);
    suite.case("legacy security refused", legacy_security);
    suite.case("vmconnect", vmconnect);
}

fn logins(case: &Case) -> Result<String> {
    let daemon = demo(&case.folder)?;
    let desktop = &daemon.desktops[1];
    let mut done = Vec::new();
    for (name, kind, more) in [
        ("freerdp2-nla", Kind::FreeRdp2, &["/sec:nla", "/gfx"][..]),
        ("freerdp2-tls", Kind::FreeRdp2, &["/sec:tls", "/gfx"][..]),
        ("freerdp3-nla", Kind::FreeRdp3, &["/sec:nla", "/gfx"][..]),
        ("freerdp3-tls", Kind::FreeRdp3, &["/sec:tls", "/gfx"][..]),
        (
            "freerdp3-tls12",
            Kind::FreeRdp3,
            &["/sec:tls", "/tls:enforce:1.2", "/gfx"][..],
        ),
        ("rdesktop-tls", Kind::Rdesktop, &[][..]),
    ] {
        let mut client = viewer(case, name, &daemon, desktop, kind, more)?;
        client.picture(SIZE)?.save(&case.folder.join(format!("{name}.png")))?;
        done.push(name);
    }
    Ok(done.join(", "))
}

fn wrong_password(case: &Case) -> Result<String> {
    let daemon = demo(&case.folder)?;
    let mut desktop = daemon.desktops[0].clone();
    desktop.password.push('x');
    let mut told = Vec::new();
    for (name, kind, more) in [
        ("freerdp2-nla", Kind::FreeRdp2, &["/sec:nla"][..]),
        ("freerdp3-nla", Kind::FreeRdp3, &["/sec:nla"][..]),
        ("freerdp2-tls", Kind::FreeRdp2, &["/sec:tls"][..]),
        ("freerdp3-tls", Kind::FreeRdp3, &["/sec:tls"][..]),
    ] {
        let config = Config {
            kind,
            address: &daemon.address,
            user: &desktop.login(),
            password: &desktop.password,
            size: SIZE,
            more,
            host: None,
        };
        let mut client = Client::start(&case.folder, name, &config)?;
        let said = client
            .wait_for_end(wait::seconds(20))
            .with_context(|| format!("{name} with a wrong password"))?;
        let words = [
            "LOGON_FAILURE",
            "ERRINFO_SERVER_FRESH_CREDENTIALS_REQUIRED",
            "LOGON_ERROR",
            "LOGON_FAILED",
            "ERRINFO_SERVER_DENIED_CONNECTION",
            "ERRINFO_SERVER_INSUFFICIENT_PRIVILEGES",
            "AUTHENTICATION_FAILED",
        ];
        let Some(word) = words.iter().find(|word| said.contains(**word)) else {
            bail!(
                "{name} was not told: {}",
                said.lines().rev().take(6).collect::<Vec<_>>().join(" | ")
            );
        };
        told.push(format!("{name} {word}"));
    }
    Ok(told.join(", "))
}

fn legacy_security(case: &Case) -> Result<String> {
    let daemon = demo(&case.folder)?;
    let desktop = &daemon.desktops[0];
    let mut told = Vec::new();
    for (name, kind) in [("freerdp2", Kind::FreeRdp2), ("freerdp3", Kind::FreeRdp3)] {
        let config = Config {
            kind,
            address: &daemon.address,
            user: &desktop.login(),
            password: &desktop.password,
            size: SIZE,
            more: &["/sec:rdp"],
            host: None,
        };
        let mut client = Client::start(&case.folder, name, &config)?;
        let said = client
            .wait_for_end(wait::seconds(20))
            .with_context(|| format!("{name} with legacy security"))?;
        let line = said.lines().find(|line| {
            line.contains("SSL_REQUIRED") || line.contains("HYBRID_REQUIRED") || line.contains("SECURITY_NEGO")
        });
        let line = line.with_context(|| format!("{name} was not told why: {said}"))?;
        told.push(format!(
            "{name}: {}",
            line.rsplit(['-', ']']).next().unwrap_or(line).trim()
        ));
    }
    Ok(told.join(", "))
}

fn vmconnect(case: &Case) -> Result<String> {
    let daemon = demo(&case.folder)?;
    let mut shown = Vec::new();
    for desktop in &daemon.desktops {
        let word = format!("/vmconnect:{}", desktop.name);
        let mut client = viewer_as(
            case,
            &desktop.name,
            &daemon,
            &desktop.user,
            desktop,
            Kind::FreeRdp3,
            &[&word, "/gfx"],
        )?;
        client
            .picture(SIZE)?
            .save(&case.folder.join(format!("{}.png", desktop.name)))?;
        shown.push(desktop.name.clone());
    }
    Ok(format!("{} shown", shown.join(" and ")))
}
