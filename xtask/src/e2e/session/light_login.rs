//! A client without a screen that logs in over TLS with a reconnect cookie of its choice, from an address of its choice,
//! and keeps the cookie that it gets.

use crate::e2e::hostile::{Tls, tls};
use crate::e2e::light::{self, Wire};
use anyhow::{Context, Result, bail};
use ironrdp_connector::{ClientConnector, ConnectionOutcome};
use ironrdp_core::{decode, encode_vec};
use ironrdp_pdu::rdp::client_info::{ClientAutoReconnect, ExtendedClientOptionalInfo, PerformanceFlags, TimezoneInfo};
use ironrdp_pdu::rdp::headers::{ShareControlHeader, ShareControlPdu, ShareDataPdu};
use ironrdp_pdu::rdp::session_info::{InfoData, ServerAutoReconnect};
use ironrdp_pdu::x224::X224;
use ironrdp_pdu::{mcs, rdp};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// A client that is in.
pub struct LightLogin {
    /// Its next cookie.
    pub cookie: ServerAutoReconnect,
    _wire: Wire<Tls>,
}

/// Logs in at `address` from `from`.
///
/// # Errors
/// When the server does not let it in.
pub fn log_in(
    address: &str,
    from: IpAddr,
    (user, password): (&str, &str),
    cookie: Option<&ServerAutoReconnect>,
) -> Result<LightLogin> {
    let stream = connect_from(from, address.parse()?)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let config = light::config(user.to_owned(), password.to_owned());
    let mut connector = ClientConnector::new(config, stream.local_addr()?);
    let as_it_is = |bytes: &[u8]| Ok(bytes.to_vec());
    let mut plain = Wire::new(stream);
    plain.connect_edited(&mut connector, &as_it_is)?;
    let mut tls = tls(plain.stream)?;
    while tls.conn.is_handshaking() {
        tls.conn.complete_io(&mut tls.sock)?;
    }
    connector.mark_security_upgrade_as_done();
    let mut wire = Wire::new(tls);
    wire.connect_edited(&mut connector, &|info| match cookie {
        Some(cookie) => with_cookie(info, cookie),
        None => as_it_is(info),
    })?;
    let Some(ConnectionOutcome::Connected(_)) = connector.state.take_outcome() else {
        bail!("not connected");
    };
    let cookie = next_cookie(&mut wire)?;
    Ok(LightLogin { cookie, _wire: wire })
}

fn connect_from(from: IpAddr, address: SocketAddr) -> Result<TcpStream> {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
    bind(&socket, &SocketAddr::new(from, 0))?;
    connect(&socket, &address)?;
    Ok(TcpStream::from(socket))
}

/// The client's info with the answer to a cookie in it.
fn with_cookie(pdu: &[u8], cookie: &ServerAutoReconnect) -> Result<Vec<u8>> {
    let data = decode::<X224<mcs::SendDataRequest<'_>>>(pdu)?.0;
    let mut info = decode::<rdp::ClientInfoPdu>(&data.user_data)?;
    info.client_info.extra_info.optional_data = ExtendedClientOptionalInfo::builder()
        .timezone(TimezoneInfo::default())
        .session_id(0)
        .performance_flags(PerformanceFlags::empty())
        .reconnect_cookie(ClientAutoReconnect::from_server_cookie(cookie).to_bytes())
        .build();
    let request = mcs::SendDataRequest {
        initiator_id: data.initiator_id,
        channel_id: data.channel_id,
        user_data: encode_vec(&info)?.into(),
    };
    Ok(encode_vec(&X224(request))?)
}

/// Reads until the server gives a cookie.
fn next_cookie(wire: &mut Wire<Tls>) -> Result<ServerAutoReconnect> {
    loop {
        while let Some(info) = ironrdp_pdu::find_size(&wire.ahead)? {
            if wire.ahead.len() < info.length {
                break;
            }
            let pdu: Vec<u8> = wire.ahead.drain(..info.length).collect();
            if info.action == ironrdp_pdu::Action::X224
                && let Some(cookie) = cookie_in(&pdu)
            {
                return Ok(cookie);
            }
        }
        wire.more().context("no reconnect cookie came")?;
    }
}

fn cookie_in(pdu: &[u8]) -> Option<ServerAutoReconnect> {
    let message = decode::<X224<mcs::McsMessage<'_>>>(pdu).ok()?.0;
    let mcs::McsMessage::SendDataIndication(data) = message else {
        return None;
    };
    let header = decode::<ShareControlHeader>(&data.user_data).ok()?;
    let ShareControlPdu::Data(data) = header.share_control_pdu else {
        return None;
    };
    let ShareDataPdu::SaveSessionInfo(info) = data.share_data_pdu else {
        return None;
    };
    let InfoData::LogonExtended(info) = info.info_data else {
        return None;
    };
    info.auto_reconnect
}
