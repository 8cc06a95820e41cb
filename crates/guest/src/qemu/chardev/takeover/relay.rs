//! Serves whoever was served by the backend before: its file grows on, its socket has a listener, its terminal a link.
//! None of them can make the device wait, but for a file, as QEMU waits for it too; what they do not take in time is theirs alone to miss.

pub(super) use terminal::point;

mod sockets;
mod terminal;

use std::io;
use std::path::Path;

use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::spec::{Backend, Spec};

/// Pieces of output that may wait for a client.
const WAITING: usize = 64;
/// Bytes of input that are read at once.
const PIECE: usize = 1024;
/// After a failure that may pass.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(100);

/// The stand-in of one backend.
pub(super) struct Relay {
    files: Vec<File>,
    client: Option<Client>,
}

/// Whoever reads and types there, kept by a task.
struct Client {
    output: mpsc::Sender<Vec<u8>>,
    input: mpsc::Receiver<Vec<u8>>,
    task: JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task's ends of a [`Client`].
struct Ends {
    output: mpsc::Receiver<Vec<u8>>,
    input: mpsc::Sender<Vec<u8>>,
}

impl Relay {
    /// What can fail is done here, before anything is changed.
    pub(super) async fn prepare(spec: &Spec) -> io::Result<Self> {
        let mut files = Vec::new();
        if let Backend::File(path) = &spec.backend {
            files.push(append(path).await?);
        }
        if let Some(path) = &spec.log {
            files.push(append(path).await?);
        }
        Ok(Self { files, client: None })
    }

    /// Takes the place of the backend, which is gone.
    pub(super) async fn begin(&mut self, spec: &Spec) -> io::Result<()> {
        let (output, said) = mpsc::channel(WAITING);
        let (typed, input) = mpsc::channel(1);
        let ends = Ends {
            output: said,
            input: typed,
        };
        let task = match &spec.backend {
            Backend::Null | Backend::Stdio | Backend::Ringbuf(_) | Backend::File(_) => return Ok(()),
            Backend::Pty(link) => terminal::start(link.as_deref(), ends)?,
            Backend::Udp { remote, local } => sockets::datagrams(remote, local.as_ref(), ends).await?,
            Backend::Unix(path) => sockets::unix(path, ends)?,
            Backend::Tcp { host, port } => sockets::tcp(host, port, ends).await?,
        };
        self.client = Some(Client { output, input, task });
        Ok(())
    }

    /// Lets go of the place, for QEMU to have it again. Files stay: what is on its way still belongs there.
    pub(super) async fn give_up_place(&mut self) {
        if let Some(mut client) = self.client.take() {
            client.task.abort();
            // Its sockets are closed when it is gone.
            let _ = (&mut client.task).await;
        }
    }

    /// The device said this.
    pub(super) async fn output(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(client) = &self.client {
            // Nobody reads there, or slowly.
            let _ = client.output.try_send(bytes.to_vec());
        }
        for file in &mut self.files {
            file.write_all(bytes).await?;
            file.flush().await?;
        }
        Ok(())
    }

    /// What is typed there; never ends.
    pub(super) async fn input(&mut self) -> Vec<u8> {
        if let Some(client) = &mut self.client
            && let Some(bytes) = client.input.recv().await
        {
            return bytes;
        }
        std::future::pending().await
    }
}

async fn append(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().append(true).create(true).open(path).await;
    opened.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
