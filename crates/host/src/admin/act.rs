//! Does what was asked: finds the desktop, checks the right of whom it is asked for, acts. Rights of commands are checked
//! here and nowhere else.

use rdpmux_guest::{PowerAction, PowerError};
use rdpmux_model::{DesktopName, Rights, SessionId, Size};
use rdpmux_server::typing::Layout;
use rdpmux_server::{Chord, CloseReason, DesktopEnded, DesktopHandle, Directory, SessionFacts};
use serde_json::{Value, json};

use super::Office;
use super::request::{PowerWord, Problem, ProblemKind, Request, SessionLine};

/// What a request led to: its value and the bytes that follow.
type Done = Result<(Value, Vec<u8>), Problem>;

pub(super) async fn act(request: Request, office: &Office) -> Done {
    match request {
        Request::Keys {
            desktop,
            chords,
            text,
            layout,
            user,
        } => {
            let desktop = find(&desktop, user.as_deref(), Need::Control, office)?;
            keys(
                &desktop,
                &chords,
                text.as_deref().unwrap_or_default(),
                layout.as_deref(),
            )
            .await
        }
        Request::Power { desktop, action, user } => {
            let desktop = find(&desktop, user.as_deref(), Need::Power, office)?;
            power(&desktop, action, office).await
        }
        Request::Screenshot { desktop, user } => {
            let desktop = find(&desktop, user.as_deref(), Need::View, office)?;
            screenshot(desktop).await
        }
        Request::Streams { desktop, user } => {
            super::streams::admit(&desktop, user.as_deref(), office)?;
            Ok((json!({}), Vec::new()))
        }
        Request::Sessions {} => {
            let lines: Vec<_> = office.sessions.list().into_iter().map(line).collect();
            Ok((json!(lines), Vec::new()))
        }
        Request::Disconnect {
            session,
            user,
            desktop,
            logoff,
        } => {
            let reason = if logoff {
                CloseReason::LoggedOff
            } else {
                CloseReason::Disconnected
            };
            disconnect([session, user, desktop], reason, office)
        }
    }
}

/// Which right a request takes.
#[derive(Clone, Copy)]
enum Need {
    View,
    Control,
    Power,
}

impl Need {
    fn is_met(self, rights: Rights) -> bool {
        rights.view
            && match self {
                Self::View => true,
                Self::Control => rights.control,
                Self::Power => rights.power,
            }
    }

    fn word(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Control => "control",
            Self::Power => "power",
        }
    }
}

/// The desktop, if it is there and `user` may do this with it. Without a user the operator asks, who may.
fn find(name: &str, user: Option<&str>, need: Need, office: &Office) -> Result<DesktopHandle, Problem> {
    let found = DesktopName::new(name).ok().and_then(|name| office.board.find(&name));
    if let Some(user) = user {
        let rights = found
            .as_ref()
            .map_or(Rights::default(), |desktop| office.board.rights(user, desktop.name()));
        if !need.is_met(rights) {
            let text = format!("{user:?} has no right `{}` on {name:?}", need.word());
            return Err(Problem::new(ProblemKind::Denied, text));
        }
    }
    found.ok_or_else(|| nowhere(name, office))
}

/// There is no such desktop, but others.
pub(super) fn nowhere(name: &str, office: &Office) -> Problem {
    let names = office.board.names();
    let names: Vec<_> = names.iter().map(DesktopName::as_str).collect();
    let there = if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    };
    Problem::new(
        ProblemKind::NotFound,
        format!("there is no desktop {name:?}; there are: {there}"),
    )
}

async fn keys(desktop: &DesktopHandle, chords: &[String], text: &str, layout: Option<&str>) -> Done {
    let wrong = |text: String| Problem::new(ProblemKind::BadRequest, text);
    // Everything is understood before the first key goes down.
    let chords: Vec<Chord> = chords
        .iter()
        .map(|chord| chord.parse())
        .collect::<Result<_, _>>()
        .map_err(|error: rdpmux_server::NoChord| wrong(error.to_string()))?;
    let known = || desktop.layout().or_else(|| Layout::by_name(DEFAULT_LAYOUT));
    let layout = layout.map_or_else(known, Layout::by_name).ok_or_else(|| {
        let known: Vec<_> = Layout::names().collect();
        wrong(format!(
            "there is no keyboard layout {layout:?}; there are: {}",
            known.join(", ")
        ))
    })?;
    if let Some(lacking) = layout.text(text).find_map(Result::err) {
        return Err(wrong(format!("the layout {} cannot type {lacking:?}", layout.name())));
    }
    let gone = |ended: DesktopEnded| Problem::new(ProblemKind::Unavailable, ended.to_string());
    let hand = desktop.hand().await.map_err(gone)?;
    for chord in &chords {
        hand.press(chord).await.map_err(gone)?;
    }
    hand.type_text(text, layout).await.map_err(gone)?;
    Ok((
        json!({ "chords": chords.len(), "characters": text.chars().count() }),
        Vec::new(),
    ))
}

async fn power(desktop: &DesktopHandle, word: PowerWord, office: &Office) -> Done {
    let action = match word {
        PowerWord::Button => PowerAction::Button,
        PowerWord::Reset => PowerAction::Reset,
        PowerWord::Pause => PowerAction::Pause,
        PowerWord::Resume => PowerAction::Resume,
    };
    let unavailable = |text: String| Problem::new(ProblemKind::Unavailable, text);
    let Some(port) = office.board.power(desktop.name()) else {
        return Err(unavailable(format!("{:?} has no switches", desktop.name().as_str())));
    };
    let done = port.act(action).await;
    done.map_err(|error: PowerError| unavailable(error.to_string()))?;
    Ok((json!({}), Vec::new()))
}

async fn screenshot(desktop: DesktopHandle) -> Done {
    let (size, pixels) = desktop.picture().await;
    let failed = |text: String| Problem::new(ProblemKind::Unavailable, text);
    let png = tokio::task::spawn_blocking(move || encode(size, pixels)).await;
    let png = png.map_err(|error| failed(error.to_string()))?;
    let png = png.map_err(|error| failed(error.to_string()))?;
    Ok((json!({ "width": size.width, "height": size.height }), png))
}

/// B, G, R, X to a PNG without alpha.
fn encode(size: Size, mut pixels: Vec<u8>) -> Result<Vec<u8>, png::EncodingError> {
    let count = pixels.len() / 4;
    for index in 0..count {
        let [blue, green, red] = [pixels[4 * index], pixels[4 * index + 1], pixels[4 * index + 2]];
        pixels[3 * index..3 * index + 3].copy_from_slice(&[red, green, blue]);
    }
    pixels.truncate(3 * count);
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, size.width, size.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(out)
}

/// Closes the sessions that match all that is given.
fn disconnect([session, user, desktop]: [Option<String>; 3], reason: CloseReason, office: &Office) -> Done {
    let is_meant = |facts: &SessionFacts| {
        session.as_ref().is_none_or(|wanted| *wanted == facts.id.to_string())
            && user
                .as_ref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(&facts.user))
            && desktop
                .as_ref()
                .is_none_or(|wanted| wanted.eq_ignore_ascii_case(facts.desktop.as_str()))
    };
    let meant: Vec<SessionId> = office
        .sessions
        .list()
        .iter()
        .filter(|f| is_meant(f))
        .map(|f| f.id)
        .collect();
    let closed = meant.iter().filter(|id| office.sessions.close(**id, reason)).count();
    if closed == 0 {
        return Err(Problem::new(
            ProblemKind::NotFound,
            "no session matches; see: rdpmux sessions",
        ));
    }
    Ok((json!(closed), Vec::new()))
}

fn line(facts: SessionFacts) -> SessionLine {
    let rights = facts.rights;
    let words = [
        (rights.view, "view"),
        (rights.control, "control"),
        (rights.power, "power"),
    ];
    SessionLine {
        session: facts.id.to_string(),
        user: facts.user,
        desktop: facts.desktop.as_str().to_owned(),
        peer: facts.peer.to_string(),
        client: facts.client,
        rights: words
            .into_iter()
            .filter(|(has, _)| *has)
            .map(|(_, word)| word.to_owned())
            .collect(),
        microphone: facts.speaks,
        seconds: facts.age.as_secs(),
    }
}

/// What most guests have until somebody sets another.
const DEFAULT_LAYOUT: &str = "us";
