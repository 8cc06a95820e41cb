//! Monitors: what IronRDP's client says of its own, and what it is told of the desktop's.

use ironrdp_core::encode_vec;
use ironrdp_displaycontrol::client::DisplayControlClient;
use ironrdp_displaycontrol::pdu::{DisplayControlMonitorLayout, DisplayControlPdu, MonitorLayoutEntry};
use ironrdp_dvc::DrdynvcClient;
use ironrdp_egfx::pdu::GfxPdu;
use ironrdp_pdu::gcc;
use rdpmux_model::{LayoutError, MonitorLayout, Rect, Size};
use rdpmux_rdp::{Monitor, SessionEvent};

use crate::client::{self, DESKTOP, Options, Pair};
use crate::hostile::send_data_request;
use crate::pipeline::{Tap, able, fill, frame, pair};

fn gcc_monitor(left: i32, width: i32) -> gcc::Monitor {
    gcc::Monitor {
        left,
        top: 0,
        right: left + width - 1,
        bottom: 599,
        flags: match left {
            0 => gcc::MonitorFlags::PRIMARY,
            _ => gcc::MonitorFlags::empty(),
        },
    }
}

/// A client with these monitors, after the start of its session.
fn client(monitors: &[(i32, i32)], display: bool) -> Pair {
    let monitors = monitors
        .iter()
        .map(|(left, width)| gcc_monitor(*left, *width))
        .collect();
    let mut pair = client::connect(&Options {
        monitors: Some(gcc::ClientMonitorData { monitors }).filter(|list| !list.monitors.is_empty()),
        display,
        ..Options::default()
    });
    pair.start();
    pair
}

fn layouts(pair: &mut Pair) -> Vec<Result<MonitorLayout, LayoutError>> {
    let layout = |event| match event {
        SessionEvent::Layout(layout) => Some(layout),
        _ => None,
    };
    std::mem::take(&mut pair.events)
        .into_iter()
        .filter_map(layout)
        .collect()
}

fn widths(layout: &Result<MonitorLayout, LayoutError>) -> Vec<u32> {
    let layout = layout.as_ref().expect("a good layout");
    layout.monitors().iter().map(|monitor| monitor.size.width).collect()
}

#[test]
fn several_monitors_are_told_when_the_session_starts_and_a_plain_client_tells_nothing() {
    let mut two = client(&[(-800, 800), (0, 1024)], false);
    let login = two.login.take().expect("a login");
    assert_eq!(widths(&login.monitors), [1024, 800], "the primary one first");
    assert_eq!(layouts(&mut two).iter().map(widths).collect::<Vec<_>>(), [[1024, 800]]);
    let mut plain = client(&[], false);
    let login = plain.login.take().expect("a login");
    assert_eq!(widths(&login.monitors), [1024]);
    assert_eq!(layouts(&mut plain), []);
}

#[test]
fn a_list_that_cannot_be_costs_the_client_its_list_only() {
    let mut pair = client(&[(0, 1024), (1000, 800)], false);
    let login = pair.login.take().expect("a login");
    assert_eq!(login.monitors, Err(LayoutError::Overlap));
    assert!(pair.take_writer().is_some(), "the session goes on");
    assert_eq!(layouts(&mut pair), []);
}

/// Bytes of one message on the client's display control channel.
fn display_control(pair: &mut Pair, message: &[u8]) -> Vec<u8> {
    let channels = pair.result.static_channels.get_by_type::<DrdynvcClient>();
    let carrier = pair.result.static_channels.get_channel_id_by_type::<DrdynvcClient>();
    let channels = channels.and_then(|channel| channel.channel_processor_downcast_ref::<DrdynvcClient>());
    let id = channels
        .and_then(|channels| channels.get_dvc::<DisplayControlClient>())
        .map(|channel| channel.channel_id())
        .expect("the channel is open");
    let data = [&[0x30, id as u8], message].concat();
    let chunk = [&(data.len() as u32).to_le_bytes()[..], &3_u32.to_le_bytes(), &data].concat();
    send_data_request(carrier.expect("dynamic channels"), &chunk)
}

fn message(monitors: &[MonitorLayoutEntry]) -> Vec<u8> {
    let layout = DisplayControlMonitorLayout::new(monitors).expect("a good layout");
    encode_vec(&DisplayControlPdu::from(layout)).expect("it encodes")
}

#[test]
fn a_client_with_display_control_tells_its_size_at_once_and_whenever_it_changes() {
    let mut pair = client(&[], true);
    let first = layouts(&mut pair);
    assert_eq!(first.iter().map(widths).collect::<Vec<_>>(), [[1024]]);
    assert_eq!(
        first[0].as_ref().expect("a layout").monitors()[0].scale_percent,
        Some(150)
    );
    let good = message(&[MonitorLayoutEntry::new_primary(1500, 901).expect("a size")]);
    let bytes = display_control(&mut pair, &good);
    pair.say(&bytes);
    let layout = layouts(&mut pair).remove(0).expect("a layout");
    assert_eq!(layout.monitors()[0].size, Size::new(1500, 901));
    // What no monitor can be, one thing after the other, and the session goes on.
    let change = |at: usize, word: i32| {
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&word.to_le_bytes());
        bad
    };
    let edge = |width| LayoutError::Edge { width, height: 901 };
    for (bad, error) in [
        (change(12, 65), LayoutError::TooMany { count: 65 }),
        (change(12, 0), LayoutError::NoMonitor),
        (change(12, 2), LayoutError::Malformed),
        (change(28, 100_000), edge(100_000)),
        (change(28, -1), edge(0xFFFF_FFFF)),
        (change(28, 0), edge(0)),
    ] {
        let bytes = display_control(&mut pair, &bad);
        pair.say(&bytes);
        assert_eq!(layouts(&mut pair), [Err(error)]);
    }
    let bytes = display_control(&mut pair, &good);
    pair.say(&bytes);
    assert_eq!(layouts(&mut pair), [Ok(layout)]);
}

fn monitor(x: u32, width: u32, primary: bool) -> Monitor {
    Monitor {
        rect: Rect::new(x, 0, width, DESKTOP.height),
        primary,
    }
}

#[test]
fn one_surface_can_be_several_monitors() {
    let (_pair, mut writer) = pair(able());
    let mut tap = Tap::new();
    let mut resets = |writer: &mut rdpmux_rdp::FrameWriter, size: Size| {
        let frame = writer.compress(&[(0, &frame(size, vec![fill(Rect::new(0, 0, 4, 4))]))], 0);
        let pdus = tap.read(&frame.expect("a frame").parts);
        let reset = |pdu: &GfxPdu| match pdu {
            GfxPdu::ResetGraphics(reset) => Some(reset.monitors.iter().map(|m| (m.left, m.right)).collect::<Vec<_>>()),
            _ => None,
        };
        let created = pdus
            .iter()
            .filter(|pdu| matches!(pdu, GfxPdu::CreateSurface(_)))
            .count();
        pdus.iter().find_map(reset).map(|monitors| (monitors, created))
    };
    let two = [monitor(0, 300, false), monitor(300, 500, true)];
    assert!(writer.tell_monitors(&two) && !writer.tell_monitors(&two));
    assert_eq!(resets(&mut writer, DESKTOP), Some((vec![(-300, -1), (0, 499)], 1)));
    assert_eq!(resets(&mut writer, DESKTOP), None);
    let swapped = [monitor(0, 500, true), monitor(500, 300, false)];
    assert!(writer.tell_monitors(&swapped));
    assert_eq!(resets(&mut writer, DESKTOP), Some((vec![(0, 499), (500, 799)], 1)));
    // The desktop has another size already: these are not its monitors.
    let larger = Size::new(900, 600);
    assert_eq!(resets(&mut writer, larger), Some((vec![(0, 899)], 1)));
}

#[test]
fn clients_in_step_are_told_the_same_monitors() {
    let (_pair, writer) = pair(able());
    let mut group = writer;
    let whole = frame(DESKTOP, vec![fill(Rect::new(0, 0, 4, 4))]);
    group.compress(&[(0, &whole)], 0).expect("a frame");
    let mut other = group.fork().expect("a fork");
    other.tell_monitors(&[monitor(0, 300, false), monitor(300, 500, true)]);
    other.compress(&[(0, &whole)], 0).expect("a frame");
    assert!(group.join(other).is_err());
}
