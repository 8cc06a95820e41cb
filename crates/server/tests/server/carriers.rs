//! Sessions over streams that the embedder brings.

use std::sync::Arc;

use rdpmux_server::{
    Accounts, Entrance, House, Limits, Logins, NtHash, Peripherals, ServerConfig, Stopper, TransportTls, stop_pair,
};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::client;
use crate::door::{LONG, one_machine, request};

struct Alice;

impl Accounts for Alice {
    fn nt_hash(&self, _user: &str) -> Option<NtHash> {
        None
    }

    fn verify(&self, user: &str, password: &str) -> bool {
        (user, password) == ("alice", "secret")
    }
}

pub fn entrance(limits: Limits, peripherals: Peripherals) -> (Entrance, Stopper, rdpmux_server::Desktop) {
    let (config, desktop) = one_machine(limits, Logins::default(), peripherals);
    let config = ServerConfig {
        accounts: Arc::new(Alice),
        ..config
    };
    let (stopper, stop) = stop_pair();
    (House::default().entrance(Arc::new(config), stop), stopper, desktop)
}

#[tokio::test]
async fn a_client_gets_its_picture_over_a_pipe_in_memory_that_somebody_else_encrypted() {
    let (entrance, stopper, _desktop) = entrance(Limits::default(), Peripherals::default());
    let (ours, theirs) = tokio::io::duplex(4096);
    let server = tokio::spawn(async move { entrance.serve_stream(ours, None, TransportTls::AlreadyDone).await });
    let mut viewer = client::login(theirs, ("alice", "secret"), |_| {}).await;
    assert!(viewer.until(|viewer| viewer.updates > 0).await, "a picture came");
    stopper.stop();
    assert!(!viewer.until(|_| false).await, "the server says goodbye");
    drop(viewer);
    timeout(LONG, server).await.expect("the session ends").unwrap();
}

#[tokio::test]
async fn strangers_without_an_address_are_bounded_together_and_not_as_one_address() {
    let limits = Limits {
        handshakes: 2,
        handshakes_per_address: 1,
        handshake: LONG,
        ..Limits::default()
    };
    let (entrance, _stopper, _desktop) = entrance(limits, Peripherals::default());
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let (ours, mut theirs) = tokio::io::duplex(4096);
        let entrance = entrance.clone();
        let server = tokio::spawn(async move { entrance.serve_stream(ours, None, TransportTls::Managed).await });
        theirs.write_all(&request(1)).await.unwrap();
        let mut confirm = [0; 19];
        tokio::io::AsyncReadExt::read_exact(&mut theirs, &mut confirm)
            .await
            .unwrap();
        assert_eq!(confirm[11], 2, "it is negotiated with");
        waiting.push((server, theirs));
    }
    let (ours, _theirs) = tokio::io::duplex(4096);
    let third = entrance.serve_stream(ours, None, TransportTls::Managed);
    timeout(LONG, third).await.expect("there is no place for a third");
    let (server, theirs) = waiting.remove(0);
    drop(theirs);
    timeout(LONG, server).await.expect("its client is gone").unwrap();
}
