//! A D-Bus bus of one test alone, with a daemon that registers everybody and can be started anew.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What `Register` was given.
pub type Registered = (i32, i32, String, u16, String);

pub struct Bus {
    process: Child,
    pub address: String,
    registered: Receiver<Registered>,
    started: Receiver<()>,
    restart: UnboundedSender<()>,
    _folder: TempDir,
}

struct Face {
    path: String,
    registered: Sender<Registered>,
}

#[zbus::interface(name = "org.RDPMux.RDPMux")]
impl Face {
    #[zbus(property)]
    fn supported_protocol_versions(&self) -> Vec<i32> {
        vec![5]
    }

    fn register(&self, id: i32, version: i32, uuid: String, port: u16, auth_file: String) -> String {
        let _ = self.registered.send((id, version, uuid, port, auth_file));
        self.path.clone()
    }
}

impl Bus {
    /// A bus whose daemon answers everybody with `path`.
    pub fn start(path: String) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (process, address) = spawn(&folder);
        let (sender, registered) = channel();
        let (ready, started) = channel();
        let (restart, restarts) = unbounded_channel();
        let on = address.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .expect("a runtime")
                .block_on(serve(on, path, sender, ready, restarts));
        });
        started.recv().expect("a daemon");
        Self {
            process,
            address,
            registered,
            started,
            restart,
            _folder: folder,
        }
    }

    /// Ends the daemon and starts another.
    pub fn restart(&self) {
        self.restart.send(()).expect("it runs");
        self.started.recv().expect("another daemon");
    }

    /// The next machine that is registered.
    pub fn registered(&self) -> Registered {
        self.registered
            .recv_timeout(Duration::from_secs(20))
            .expect("registered")
    }

    /// Whether no machine is registered for so long.
    pub fn is_silent_for(&self, time: Duration) -> bool {
        self.registered.recv_timeout(time).is_err()
    }
}

fn spawn(folder: &TempDir) -> (Child, String) {
    let socket = format!("unix:path={}", folder.path().join("bus").display());
    let config = folder.path().join("bus.conf");
    let text = format!(
        "<busconfig><type>session</type><listen>{socket}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
         <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>"
    );
    fs::write(&config, text).expect("written");
    let mut command = Command::new("dbus-daemon");
    command
        .arg("--config-file")
        .arg(&config)
        .args(["--nofork", "--print-address"]);
    let mut process = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("dbus-daemon");
    let mut address = String::new();
    let output = process.stdout.take().expect("a pipe");
    BufReader::new(output).read_line(&mut address).expect("its address");
    (process, address.trim().to_owned())
}

async fn serve(
    address: String,
    path: String,
    registered: Sender<Registered>,
    ready: Sender<()>,
    mut restarts: UnboundedReceiver<()>,
) {
    loop {
        let face = Face {
            path: path.clone(),
            registered: registered.clone(),
        };
        let builder = zbus::connection::Builder::address(address.as_str()).name("org.RDPMux.RDPMux");
        let builder = builder.serve_at("/org/RDPMux/RDPMux", face);
        let connection = builder.build().await.expect("the name");
        if ready.send(()).is_err() || restarts.recv().await.is_none() {
            return;
        }
        connection.close().await.expect("left");
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
