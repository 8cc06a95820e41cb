//! A light viewer with hands: it sends any input PDU at a known moment, touches through IronRDP's touch channel, and hears
//! the lamps of the guest's keyboard. A real client under Xvfb has no touch screen and sends no raw scan codes.

use crate::e2e::hostile::{Tls, tls};
use crate::e2e::light::{self, Blind, Wire};
use crate::e2e::wait;
use anyhow::{Context, Result, bail};
use ironrdp_connector::{ClientConnector, ConnectionOutcome, ConnectionResult};
use ironrdp_core::decode;
use ironrdp_dvc::DrdynvcClient;
use ironrdp_pdu::x224::X224;
use ironrdp_pdu::{Action, mcs};
use ironrdp_rdpei::RdpeiClient;
use ironrdp_rdpei::pdu::{TouchContact, TouchContactFlags, TouchEventPdu, TouchFrame};
use ironrdp_svc::{StaticChannelId, client_encode_svc_messages};
use std::io::Write;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The other end of the viewer's thread. Dropping it ends the session.
pub struct Hands {
    orders: Sender<Order>,
    heard: Arc<Mutex<Heard>>,
}

enum Order {
    Bytes(Vec<u8>),
    Touch(TouchContact),
}

/// What the server has said.
#[derive(Default, Clone)]
struct Heard {
    is_ready: bool,
    takes_touches: bool,
    lamps: Option<u16>,
    error: Option<String>,
    /// When each message was written, since 1970.
    written: Vec<Duration>,
}

/// How long the server's words may wait while there is nothing to say.
const LOOK: Duration = Duration::from_millis(1);

impl Hands {
    /// Logs in and waits for the first picture.
    pub fn at(address: &str, user: &str, password: &str) -> Result<Self> {
        let (orders, inbox) = channel();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let into = Arc::clone(&heard);
        let (address, user, password) = (address.to_owned(), user.to_owned(), password.to_owned());
        std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
            let served = log_in(&address, user, password).and_then(|viewer| viewer.serve(&inbox, &into));
            if let Err(error) = served {
                into.lock().unwrap_or_else(PoisonError::into_inner).error = Some(format!("{error:#}"));
            }
        })?;
        let hands = Self { orders, heard };
        wait::for_true(wait::seconds(20), "the light viewer has a picture", || {
            Ok(hands.heard()?.is_ready)
        })?;
        Ok(hands)
    }

    /// A fast-path message with these events ([MS-RDPBCGR] 2.2.8.1.2).
    pub fn say(&self, events: &[&[u8]]) -> Result<()> {
        let length = 2 + events.iter().map(|event| event.len()).sum::<usize>();
        let mut pdu = vec![(events.len() as u8) << 2, u8::try_from(length)?];
        pdu.extend(events.concat());
        self.orders.send(Order::Bytes(pdu)).context("the viewer has ended")
    }

    /// Presses and releases a key: flags 2 for E0, 4 for E1.
    pub fn tap(&self, flags: u8, code: u8) -> Result<()> {
        self.say(&[&[flags, code], &[flags | 1, code]])
    }

    /// Unicode keys, down and up, one message per UTF-16 unit.
    pub fn unicode(&self, text: &str) -> Result<()> {
        text.encode_utf16().try_for_each(|unit| self.unit(unit))
    }

    /// One unicode key.
    pub fn unit(&self, unit: u16) -> Result<()> {
        let [low, high] = unit.to_le_bytes();
        self.say(&[&[4 << 5, low, high], &[4 << 5 | 1, low, high]])
    }

    /// A mouse event: kind 1 plain, 2 extended, 5 relative.
    pub fn mouse(&self, kind: u8, flags: u16, x: i16, y: i16) -> Result<()> {
        let mut event = vec![kind << 5];
        event.extend(flags.to_le_bytes());
        event.extend(x.to_le_bytes());
        event.extend(y.to_le_bytes());
        self.say(&[&event])
    }

    /// The lock keys as the client has them: 1 Scroll, 2 Num, 4 Caps.
    pub fn sync(&self, toggles: u8) -> Result<()> {
        self.say(&[&[3 << 5 | toggles]])
    }

    /// A finger.
    pub fn touch(&self, finger: u8, x: i32, y: i32, flags: TouchContactFlags) -> Result<()> {
        wait::for_true(wait::seconds(10), "the server takes touches", || {
            Ok(self.heard()?.takes_touches)
        })?;
        let contact = TouchContact::new(finger, x, y, flags);
        self.orders.send(Order::Touch(contact)).context("the viewer has ended")
    }

    /// Waits until the guest's lamps are these.
    pub fn lamps(&self, expected: u16) -> Result<()> {
        let what = format!("the client's lamps are {expected:03b}");
        wait::for_true(wait::seconds(20), &what, || Ok(self.lamps_now()? == Some(expected)))
    }

    /// The guest's lamps, if the server has told them.
    pub fn lamps_now(&self) -> Result<Option<u16>> {
        Ok(self.heard()?.lamps)
    }

    /// When each message was written, since 1970.
    pub fn written(&self) -> Result<Vec<Duration>> {
        Ok(self.heard()?.written)
    }

    fn heard(&self) -> Result<Heard> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match heard.error {
            Some(error) => bail!("the light viewer has ended: {error}"),
            None => Ok(heard),
        }
    }
}

struct Viewer {
    wire: Wire<Tls>,
    session: ConnectionResult,
}

fn log_in(address: &str, user: String, password: String) -> Result<Viewer> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut connector = ClientConnector::new(light::config(user, password), stream.local_addr()?);
    let channels = DrdynvcClient::new()
        .with_dynamic_channel(Blind::default())
        .with_dynamic_channel(RdpeiClient::default());
    connector.attach_static_channel(channels);
    let as_it_is = |bytes: &[u8]| Ok(bytes.to_vec());
    let mut plain = Wire::new(stream);
    plain.connect_edited(&mut connector, &as_it_is)?;
    let mut tls = tls(plain.stream)?;
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    connector.mark_security_upgrade_as_done();
    let mut wire = Wire::new(tls);
    wire.connect_edited(&mut connector, &as_it_is)?;
    let Some(ConnectionOutcome::Connected(session)) = connector.state.take_outcome() else {
        bail!("not connected");
    };
    Ok(Viewer { wire, session })
}

impl Viewer {
    fn serve(mut self, orders: &Receiver<Order>, heard: &Mutex<Heard>) -> Result<()> {
        self.wire.stream.sock.set_read_timeout(Some(LOOK))?;
        loop {
            loop {
                match orders.try_recv() {
                    Ok(order) => {
                        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
                        heard.lock().unwrap_or_else(PoisonError::into_inner).written.push(now);
                        self.obey(order)?;
                    }
                    Err(std::sync::mpsc::TryRecvError::Empty) => break,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => return Ok(()),
                }
            }
            if let Err(error) = self.wire.more() {
                let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
                if !matches!(
                    kind,
                    Some(std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
                ) {
                    return Err(error);
                }
            }
            self.hear(heard)?;
        }
    }

    fn obey(&mut self, order: Order) -> Result<()> {
        let bytes = match order {
            Order::Bytes(bytes) => bytes,
            Order::Touch(contact) => {
                let carrier = self.carrier()?;
                let channels = self.channels()?;
                let Some(touch) = channels.get_dvc_mut::<RdpeiClient>() else {
                    bail!("no touch channel");
                };
                let event = TouchEventPdu::new(0, vec![TouchFrame::new(0, vec![contact])]);
                let id = touch.channel_id();
                let messages = touch.processor().encode_touch_event(id, event)?;
                client_encode_svc_messages(messages, carrier, self.session.user_channel_id)?
            }
        };
        self.wire.stream.write_all(&bytes)?;
        Ok(self.wire.stream.flush()?)
    }

    fn carrier(&self) -> Result<StaticChannelId> {
        let channels = &self.session.static_channels;
        channels
            .get_channel_id_by_type::<DrdynvcClient>()
            .context("no dynamic channels")
    }

    fn channels(&mut self) -> Result<&mut DrdynvcClient> {
        let channel = self.session.static_channels.get_by_type_mut::<DrdynvcClient>();
        channel
            .and_then(|channel| channel.channel_processor_downcast_mut::<DrdynvcClient>())
            .context("no dynamic channels")
    }

    /// Takes the whole PDUs that have come.
    fn hear(&mut self, heard: &Mutex<Heard>) -> Result<()> {
        let mut used = 0;
        while let Some(info) = ironrdp_pdu::find_size(&self.wire.ahead[used..])? {
            let Some(pdu) = self.wire.ahead.get(used..used + info.length) else {
                break;
            };
            if info.action == Action::X224 {
                if let Some(lamps) = lamps_in(pdu) {
                    heard.lock().unwrap_or_else(PoisonError::into_inner).lamps = Some(lamps);
                }
                let answer = light::indication(&mut self.session, pdu)?;
                self.wire.stream.write_all(&answer)?;
                self.wire.stream.flush()?;
            }
            used += info.length;
        }
        if used > 0 {
            self.wire.ahead.drain(..used);
            let channels = self.channels()?;
            let has_frames = channels
                .get_dvc_mut::<Blind>()
                .is_some_and(|blind| blind.processor().frames > 0);
            let touches = channels
                .get_dvc_mut::<RdpeiClient>()
                .is_some_and(|touch| touch.processor().ready());
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.is_ready |= has_frames;
            heard.takes_touches = touches;
        }
        Ok(())
    }
}

/// The lamps in a Set Keyboard Indicators PDU ([MS-RDPBCGR] 2.2.8.2.1), which IronRDP does not decode.
fn lamps_in(pdu: &[u8]) -> Option<u16> {
    const SET_KEYBOARD_INDICATORS: u8 = 41;
    let mcs::McsMessage::SendDataIndication(data) = decode::<X224<mcs::McsMessage<'_>>>(pdu).ok()?.0 else {
        return None;
    };
    let body = data.user_data.get(..22)?;
    (body[2] & 0xF == 7 && body[14] == SET_KEYBOARD_INDICATORS).then(|| u16::from_le_bytes([body[20], body[21]]))
}
