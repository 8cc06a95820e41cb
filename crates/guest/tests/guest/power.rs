//! A machine's switches: without a machine, without a way to them, and with one.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rdpmux_guest::qemu::{Address, Config};
use rdpmux_guest::{GuestSpec, GuestTask, PowerAction, PowerError, PowerPort, testcard};
use tokio::sync::mpsc;

use crate::impostor::pose_as_qemu;

fn spawn(spec: GuestSpec) -> (GuestTask, Option<PowerPort>) {
    let (sender, mut events) = mpsc::channel(16);
    let task = rdpmux_guest::spawn(spec, "web1".to_owned(), sender);
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let port = task.peripherals().power.clone();
    (task, port)
}

#[tokio::test]
async fn what_is_not_there_cannot_be_switched() {
    let directory = tempfile::tempdir().expect("tempdir");
    let (_task, port) = spawn(GuestSpec::Qemu(Config::qmp(directory.path().join("qmp"))));
    let port = port.expect("a qemu has switches");
    assert_eq!(port.act(PowerAction::Reset).await, Err(PowerError::NotThere));
    let nowhere = Address::Bus {
        address: format!("unix:path={}", directory.path().join("bus").display()),
        vm: None,
    };
    let config = Config {
        address: nowhere,
        qmp_stay: false,
        ..Config::qmp("unused")
    };
    let (_task, port) = spawn(GuestSpec::Qemu(config));
    let port = port.expect("a qemu has switches");
    assert_eq!(port.act(PowerAction::Pause).await, Err(PowerError::NotThere));
    let (_task, port) = spawn(GuestSpec::TestCard(testcard::Config::default()));
    assert!(port.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_switched_over_the_connection_that_is_kept() {
    let directory = tempfile::tempdir().expect("tempdir");
    let path = directory.path().join("qmp");
    let idle = |socket: &mut UnixStream| {
        let _ = socket.flush();
        std::thread::park();
    };
    pose_as_qemu(&path, Arc::new(idle));
    let (_task, port) = spawn(GuestSpec::Qemu(Config::qmp(&path)));
    let port = port.expect("a qemu has switches");
    for action in [
        PowerAction::Button,
        PowerAction::Reset,
        PowerAction::Pause,
        PowerAction::Resume,
    ] {
        // Before it is attached it is not there.
        let done = async {
            while port.act(action).await != Ok(()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(crate::viewer::LIMIT, done)
            .await
            .expect("it is switched");
    }
}
