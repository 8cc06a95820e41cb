//! The main connection to QEMU's display: which consoles there are, what they say of themselves, and calls to them.
//! Names and types are those of QEMU's `ui/dbus-display1.xml`.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use rdpmux_model::{LockKeys, MouseMode, Size};
use zbus::export::futures_core::Stream;
use zbus::fdo::{ManagedObjects, ObjectManagerProxy};
use zbus::message::{Flags, Message, Type};
use zbus::wire::{OwnedVariant, Variant};
use zbus::{Connection, MatchRule, MessageStream};

const ROOT: &str = "/org/qemu/Display1";
pub(super) const CONSOLE: &str = "org.qemu.Display1.Console";
pub(super) const KEYBOARD: &str = "org.qemu.Display1.Keyboard";
pub(super) const MOUSE: &str = "org.qemu.Display1.Mouse";
/// From QEMU 8.1 on.
pub(super) const TOUCH: &str = "org.qemu.Display1.MultiTouch";
const CHARDEV: &str = "org.qemu.Display1.Chardev";
const VM: &str = "org.qemu.Display1.VM";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Heads of one machine that are served; QEMU's devices have at most 16.
const MAX_CONSOLES: usize = 16;
/// Signals that wait to be read.
const SIGNALS: NonZeroUsize = NonZeroUsize::new(256).expect("not 0");

/// A QEMU on a connection; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Display {
    connection: Connection,
    /// The unique name on a bus; none between peers.
    destination: Option<String>,
    /// The machine has a touch screen, as far as is known.
    has_fingers: bool,
}

/// What the machine calls itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    pub(super) name: Option<String>,
    pub(super) uuid: Option<String>,
}

impl Machine {
    pub(super) fn is_called(&self, vm: &str) -> bool {
        self.name.as_deref() == Some(vm) || self.uuid.as_deref().is_some_and(|uuid| uuid.eq_ignore_ascii_case(vm))
    }
}

/// A graphic console as it was when it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Console {
    /// Number in the object's path.
    pub(super) number: u32,
    pub(super) path: String,
    pub(super) label: String,
    pub(super) size: Size,
    pub(super) mouse: MouseMode,
    pub(super) locks: LockKeys,
    /// Fingers reach the guest as fingers.
    pub(super) has_fingers: bool,
}

/// A character device of the D-Bus kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chardev {
    pub(super) path: String,
    /// What it was named for programs, not its id.
    pub(super) name: String,
    /// The guest has its end open.
    pub(super) is_open: bool,
}

/// A property of a console that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Mouse(MouseMode),
    Locks(LockKeys),
    Width(u32),
    Height(u32),
}

impl Display {
    pub(super) fn new(connection: Connection, destination: Option<String>) -> Self {
        Self {
            connection,
            destination,
            has_fingers: false,
        }
    }

    /// The machine has a touch screen. QEMU from 8.1 on takes touches without one, too, and forgets them.
    pub(super) fn with_fingers(mut self, has_fingers: bool) -> Self {
        self.has_fingers = has_fingers;
        self
    }

    /// Whether others share the connection, so that its end says nothing of this machine.
    pub(super) fn is_on_bus(&self) -> bool {
        self.destination.is_some()
    }

    /// Waits until the connection is closed by the other side.
    pub(super) async fn closed(&self) {
        self.connection.closed().await;
    }

    pub(super) async fn machine(&self) -> zbus::Result<Machine> {
        let path = format!("{ROOT}/VM");
        let reply = self.call(&path, PROPERTIES, "GetAll", &(VM,)).await?;
        let properties: HashMap<String, OwnedVariant> = reply.body().deserialize()?;
        Ok(Machine {
            name: text(&properties, "Name").filter(|name| !name.is_empty()),
            uuid: text(&properties, "UUID").filter(|uuid| !uuid.is_empty()),
        })
    }

    /// The graphic consoles in the order of their numbers. Text consoles of QEMU's own are none of ours.
    pub(super) async fn consoles(&self) -> zbus::Result<Vec<Console>> {
        let manager = ObjectManagerProxy::builder(&self.connection).path(ROOT);
        // Between peers there is no name, but the proxy wants one; QEMU does not look at it.
        let destination = self.destination.as_deref().unwrap_or("org.qemu").to_owned();
        let manager = manager.destination(destination).build().await?;
        let mut consoles = graphic_consoles(&manager.get_managed_objects().await?);
        for console in &mut consoles {
            console.has_fingers &= self.has_fingers;
        }
        Ok(consoles)
    }

    /// The character devices, in the order of their paths.
    pub(super) async fn chardevs(&self) -> zbus::Result<Vec<Chardev>> {
        let manager = ObjectManagerProxy::builder(&self.connection).path(ROOT);
        let destination = self.destination.as_deref().unwrap_or("org.qemu").to_owned();
        let manager = manager.destination(destination).build().await?;
        Ok(chardevs(&manager.get_managed_objects().await?))
    }

    /// All signals: when objects come or go, and when something of them changes.
    pub(super) async fn signals(&self) -> zbus::Result<Calls> {
        let mut rule = MatchRule::builder().msg_type(Type::Signal).path_namespace(ROOT);
        if let Some(destination) = &self.destination {
            rule = rule.sender(destination.as_str());
        }
        let stream = MessageStream::for_match_rule(rule.build()?, &self.connection, Some(SIGNALS)).await?;
        Ok(Calls { stream })
    }

    /// Gives QEMU its end of a character device's socket.
    pub(super) async fn register_chardev(&self, path: &str, socket: BorrowedFd<'_>) -> zbus::Result<()> {
        let body = (zbus::Fd::from(socket),);
        self.call(path, CHARDEV, "Register", &body).await.map(drop)
    }

    /// Sends a break.
    pub(super) async fn chardev_break(&self, path: &str) -> zbus::Result<()> {
        self.call(path, CHARDEV, "SendBreak", &()).await.map(drop)
    }

    /// The size of a console. QEMU's main loop answers, so what it did before this call is done.
    pub(super) async fn size(&self, console: &str) -> zbus::Result<Size> {
        let reply = self.call(console, PROPERTIES, "GetAll", &(CONSOLE,)).await?;
        Ok(size(&reply.body().deserialize()?))
    }

    /// Follows the consoles' properties. To be called before [`Self::consoles`], so that no change is missed.
    pub(super) async fn changes(&self) -> zbus::Result<Changes> {
        let mut rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .interface(PROPERTIES)
            .member("PropertiesChanged")
            .path_namespace(ROOT);
        if let Some(destination) = &self.destination {
            rule = rule.sender(destination.as_str());
        }
        let stream = MessageStream::for_match_rule(rule.build()?, &self.connection, Some(SIGNALS)).await?;
        let owners = match &self.destination {
            Some(destination) => Some(owners(&self.connection, destination).await?),
            None => None,
        };
        Ok(Changes { stream, owners })
    }

    /// Hears QEMU's calls to our object at `path`. All of them must be answered: QEMU may wait.
    pub(super) async fn calls(&self, path: &str) -> zbus::Result<Calls> {
        let mut rule = MatchRule::builder().msg_type(Type::MethodCall).path(path);
        if let Some(destination) = &self.destination {
            rule = rule.sender(destination.as_str());
        }
        let stream = MessageStream::for_match_rule(rule.build()?, &self.connection, Some(SIGNALS)).await?;
        Ok(Calls { stream })
    }

    /// Answers a call.
    pub(super) async fn reply<B>(&self, call: &Message, body: &B) -> zbus::Result<()>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        self.connection.reply(&call.header(), body).await
    }

    /// Answers a call by an error.
    pub(super) async fn refuse(&self, call: &Message, why: &str) -> zbus::Result<()> {
        let name = "org.freedesktop.DBus.Error.Failed";
        self.connection.reply_error(&call.header(), name, &(why,)).await
    }

    /// Gives QEMU its end of a listener's socket pair. The listener has to be ready: QEMU's main loop waits for it.
    pub(super) async fn register_listener(&self, console: &str, socket: BorrowedFd<'_>) -> zbus::Result<()> {
        let body = (zbus::Fd::from(socket),);
        self.call(console, CONSOLE, "RegisterListener", &body).await?;
        Ok(())
    }

    /// Calls a method and waits for its answer.
    pub(super) async fn call<B>(&self, path: &str, interface: &str, member: &str, body: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let destination = self.destination.as_deref();
        self.connection
            .call_method(destination, path, Some(interface), member, body)
            .await
    }

    /// Calls a method and waits for its answer if that is wanted; what it says does not matter.
    pub(super) async fn tell<B>(
        &self,
        path: &str,
        interface: &str,
        member: &str,
        body: &B,
        answered: bool,
    ) -> zbus::Result<()>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        if answered {
            self.call(path, interface, member, body).await.map(drop)
        } else {
            self.post(path, interface, member, body).await
        }
    }

    /// Calls a method without asking for an answer; waits only for room in the socket.
    pub(super) async fn post<B>(&self, path: &str, interface: &str, member: &str, body: &B) -> zbus::Result<()>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let mut message = Message::method_call(path, member)
            .interface(interface)
            .with_flags(Flags::NO_REPLY_EXPECTED);
        if let Some(destination) = &self.destination {
            message = message.destination(destination.as_str());
        }
        self.connection.send(&message.build(body)?).await
    }
}

/// QEMU's calls to one of our objects, in order.
pub(super) struct Calls {
    stream: MessageStream,
}

impl Calls {
    /// The next call; `None` when the connection is closed. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Ok(message) = std::future::poll_fn(|context| Pin::new(&mut self.stream).poll_next(context)).await? {
                return Some(message);
            }
        }
    }
}

/// Changed properties, as they come.
pub(super) struct Changes {
    stream: MessageStream,
    /// On a bus: what happens to QEMU's name.
    owners: Option<MessageStream>,
}

impl Changes {
    /// The next change and the path of its console; `None` when the connection is closed or QEMU has left the bus.
    /// Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<(String, Vec<Change>)> {
        loop {
            let Ok(message) = std::future::poll_fn(|context| self.poll_message(context)).await? else {
                continue;
            };
            let Some(path) = message.header().path().map(ToString::to_string) else {
                continue;
            };
            // A signal of another shape than the specification's says nothing to us.
            let body = message.body();
            if let Ok((interface, properties, _gone)) =
                body.deserialize::<(String, HashMap<String, OwnedVariant>, Vec<String>)>()
            {
                return Some((path, changes_of(&interface, &properties)));
            }
        }
    }
}

impl Changes {
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<zbus::Result<Message>>> {
        if let Some(owners) = &mut self.owners
            && Pin::new(owners).poll_next(context).is_ready()
        {
            // A unique name changes its owner once: when it goes.
            return Poll::Ready(None);
        }
        Pin::new(&mut self.stream).poll_next(context)
    }
}

/// Tells when the unique name `destination` has no owner any more.
async fn owners(connection: &Connection, destination: &str) -> zbus::Result<MessageStream> {
    let rule = MatchRule::builder()
        .msg_type(Type::Signal)
        .sender("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .member("NameOwnerChanged")
        .add_arg(destination);
    MessageStream::for_match_rule(rule.build()?, connection, None).await
}

fn changes_of(interface: &str, properties: &HashMap<String, OwnedVariant>) -> Vec<Change> {
    match interface {
        MOUSE => mouse_mode(properties).map(Change::Mouse).into_iter().collect(),
        KEYBOARD => lock_keys(properties).map(Change::Locks).into_iter().collect(),
        CONSOLE => {
            let width = edge(properties, "Width").map(Change::Width);
            width
                .into_iter()
                .chain(edge(properties, "Height").map(Change::Height))
                .collect()
        }
        _ => Vec::new(),
    }
}

fn graphic_consoles(objects: &ManagedObjects) -> Vec<Console> {
    let mut consoles: Vec<Console> = objects
        .iter()
        .filter_map(|(path, interfaces)| {
            let number = path.as_str().strip_prefix(ROOT)?.strip_prefix("/Console_")?;
            let properties = |name: &str| {
                let found = interfaces.iter().find(|(interface, _)| interface.as_str() == name);
                found.map(|(_, properties)| properties)
            };
            let console = properties(CONSOLE)?;
            if text(console, "Type")? != "Graphic" {
                return None;
            }
            Some(Console {
                number: number.parse().ok()?,
                path: path.to_string(),
                label: text(console, "Label").unwrap_or_default(),
                size: size(console),
                mouse: properties(MOUSE).and_then(mouse_mode).unwrap_or_default(),
                locks: properties(KEYBOARD).and_then(lock_keys).unwrap_or_default(),
                has_fingers: properties(TOUCH).is_some(),
            })
        })
        .collect();
    consoles.sort_by_key(|console| console.number);
    consoles.truncate(MAX_CONSOLES);
    consoles
}

fn chardevs(objects: &ManagedObjects) -> Vec<Chardev> {
    let mut found: Vec<Chardev> = objects
        .iter()
        .filter_map(|(path, interfaces)| {
            let (_, properties) = interfaces.iter().find(|(interface, _)| interface.as_str() == CHARDEV)?;
            Some(Chardev {
                path: path.to_string(),
                name: text(properties, "Name").unwrap_or_default(),
                is_open: matches!(
                    properties.get("FEOpened").map(|value| &**value),
                    Some(Variant::Bool(true))
                ),
            })
        })
        .collect();
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn mouse_mode(properties: &HashMap<String, OwnedVariant>) -> Option<MouseMode> {
    match &**properties.get("IsAbsolute")? {
        Variant::Bool(true) => Some(MouseMode::Absolute),
        Variant::Bool(false) => Some(MouseMode::Relative),
        _ => None,
    }
}

/// `Modifiers` has a bit for each lock that is lit: 1 Scroll, 2 Num, 4 Caps.
fn lock_keys(properties: &HashMap<String, OwnedVariant>) -> Option<LockKeys> {
    match &**properties.get("Modifiers")? {
        Variant::U32(bits) => Some(LockKeys {
            scroll: bits & 1 != 0,
            num: bits & 2 != 0,
            caps: bits & 4 != 0,
        }),
        _ => None,
    }
}

fn size(properties: &HashMap<String, OwnedVariant>) -> Size {
    Size::new(
        edge(properties, "Width").unwrap_or_default(),
        edge(properties, "Height").unwrap_or_default(),
    )
}

fn edge(properties: &HashMap<String, OwnedVariant>, name: &str) -> Option<u32> {
    match &**properties.get(name)? {
        Variant::U32(pixels) => Some(*pixels),
        _ => None,
    }
}

fn text(properties: &HashMap<String, OwnedVariant>, name: &str) -> Option<String> {
    match &**properties.get(name)? {
        Variant::Str(text) => Some(text.to_string()),
        _ => None,
    }
}
