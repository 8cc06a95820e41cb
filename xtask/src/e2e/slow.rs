//! A slow link in user space: two TUN devices, joined with a rate, a delay and a queue that drops its tail, for each
//! direction. socat owns the devices (opening one needs an ioctl, and xtask has no unsafe code) and hands every packet to
//! us as a datagram. Made by `net`.

use super::net::{Limits, Namespace};
use super::process::Process;
use super::wait;
use anyhow::Result;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The running link; its threads end with their devices.
pub struct Slow {
    _devices: [Process; 2],
    limits: Arc<Mutex<Limits>>,
    down: Arc<AtomicU64>,
    up: Arc<AtomicU64>,
}

/// One end: where its packets come from, and where those for it go.
struct End {
    packets: UnixDatagram,
    device: PathBuf,
}

impl Slow {
    /// Joins two namespaces.
    ///
    /// # Errors
    /// When socat or TUN devices are missing.
    pub fn start(
        limits: Limits,
        server: (&Namespace, &str),
        client: (&Namespace, &str),
        folder: &Path,
        sockets: &Path,
    ) -> Result<Self> {
        let (one, server_end) = device(server, folder, sockets, "server")?;
        let (two, client_end) = device(client, folder, sockets, "client")?;
        let limits = Arc::new(Mutex::new(limits));
        let (down, up) = (Arc::default(), Arc::default());
        pump(&limits, &server_end, &client_end, Arc::clone(&down))?;
        pump(&limits, &client_end, &server_end, Arc::clone(&up))?;
        Ok(Self {
            _devices: [one, two],
            limits,
            down,
            up,
        })
    }

    /// From now on it has these limits; packets on their way keep their time.
    pub fn limit(&self, limits: Limits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// IP bytes that went through, down to the client and up.
    pub fn bytes(&self) -> (u64, u64) {
        (self.down.load(Ordering::Relaxed), self.up.load(Ordering::Relaxed))
    }
}

fn device(
    (namespace, address): (&Namespace, &str),
    folder: &Path,
    sockets: &Path,
    name: &str,
) -> Result<(Process, End)> {
    let (ours, device) = (
        sockets.join(format!("{name}.link")),
        sockets.join(format!("{name}.tun")),
    );
    let packets = UnixDatagram::bind(&ours)?;
    let mut command = Command::new("socat");
    command.args(["-b", "65536"]);
    command.arg(format!("TUN:{address}/24,up,iff-no-pi,tun-type=tun,tun-name=rd0"));
    command.arg(format!("UNIX-SENDTO:{},bind={}", ours.display(), device.display()));
    let mut socat = Process::start(
        &namespace.inside(&command),
        &folder.join(format!("{name}.socat.log")),
        "",
    )?;
    wait::for_true(wait::seconds(5), "socat makes a TUN device", || {
        socat.check()?;
        Ok(device.exists()
            && namespace
                .ip("addr show dev rd0")
                .is_ok_and(|text| text.contains(address)))
    })?;
    Ok((socat, End { packets, device }))
}

/// Two threads for one direction: one gives each packet its time, the other lets it go at that time.
fn pump(limits: &Arc<Mutex<Limits>>, from: &End, to: &End, passed: Arc<AtomicU64>) -> Result<()> {
    let (sender, receiver) = channel();
    let (source, sink) = (from.packets.try_clone()?, to.packets.try_clone()?);
    let (device, limits) = (to.device.clone(), Arc::clone(limits));
    std::thread::spawn(move || take(&limits, &source, &sender, &passed));
    std::thread::spawn(move || release(&receiver, &sink, &device));
    Ok(())
}

fn take(limits: &Mutex<Limits>, source: &UnixDatagram, sender: &Sender<(Instant, Vec<u8>)>, passed: &AtomicU64) {
    let mut free = Instant::now();
    let mut buffer = vec![0; 65_536];
    while let Ok(length) = source.recv(&mut buffer) {
        let limits = *limits.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds_per_byte = 8.0 / (f64::from(limits.kilobits_per_second) * 1e3);
        let delay = Duration::from_millis(u64::from(limits.one_way_ms));
        let queue = Duration::from_millis(u64::from(limits.queue_ms));
        let now = Instant::now();
        if free.saturating_duration_since(now) > queue {
            continue;
        }
        free = free.max(now) + Duration::from_secs_f64(length as f64 * seconds_per_byte);
        passed.fetch_add(length as u64, Ordering::Relaxed);
        if sender.send((free + delay, buffer[..length].to_vec())).is_err() {
            return;
        }
    }
}

fn release(receiver: &Receiver<(Instant, Vec<u8>)>, sink: &UnixDatagram, device: &Path) {
    for (time, packet) in receiver {
        std::thread::sleep(time.saturating_duration_since(Instant::now()));
        // A full device drops the packet, as a full queue does.
        let _ = sink.send_to(&packet, device);
    }
}
