//! Listeners where QEMU's were, with one client at a time as QEMU has it, and datagrams.

use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket, UnixListener};
use tokio::task::JoinHandle;

use super::{Ends, PIECE};

/// Largest piece of a datagram, as QEMU's.
const DATAGRAM: usize = 1024;

fn named(place: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{place}: {error}"))
}

pub(super) fn unix(path: &Path, mut ends: Ends) -> io::Result<JoinHandle<()>> {
    // QEMU, or a daemon that was killed, may have left it.
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        let _ = std::fs::remove_file(path);
    }
    let listener = UnixListener::bind(path).map_err(|error| named(&path.display().to_string(), &error))?;
    Ok(tokio::spawn(async move {
        loop {
            // Who is not served yet gets nothing of what was said before.
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((client, _)) => serve(client, &mut ends).await,
                    Err(_) => tokio::time::sleep(super::AGAIN).await,
                },
                said = ends.output.recv() => if said.is_none() { return },
            }
        }
    }))
}

pub(super) async fn tcp(host: &str, port: &str, mut ends: Ends) -> io::Result<JoinHandle<()>> {
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let place = format!("{host}:{port}");
    let listener = TcpListener::bind(&place).await.map_err(|error| named(&place, &error))?;
    Ok(tokio::spawn(async move {
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((client, _)) => {
                        let _ = client.set_nodelay(true);
                        serve(client, &mut ends).await;
                    }
                    Err(_) => tokio::time::sleep(super::AGAIN).await,
                },
                said = ends.output.recv() => if said.is_none() { return },
            }
        }
    }))
}

/// Until the client leaves.
async fn serve(client: impl AsyncRead + AsyncWrite, ends: &mut Ends) {
    let (mut reader, mut writer) = tokio::io::split(client);
    let reading = async {
        let mut buffer = Vec::with_capacity(PIECE);
        while reader.read_buf(&mut buffer).await.is_ok_and(|count| count > 0) {
            if ends.input.send(std::mem::take(&mut buffer)).await.is_err() {
                return;
            }
            buffer.reserve(PIECE);
        }
    };
    let output = &mut ends.output;
    let writing = async {
        while let Some(bytes) = output.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}

pub(super) async fn datagrams(
    remote: &(String, String),
    local: Option<&(String, String)>,
    mut ends: Ends,
) -> io::Result<JoinHandle<()>> {
    let place = |(host, port): &(String, String)| format!("{host}:{port}");
    let any = match remote.0.contains(':') {
        true => "[::]:0".to_owned(),
        false => "0.0.0.0:0".to_owned(),
    };
    let local = match local {
        Some((host, port)) if host.is_empty() => format!("0.0.0.0:{port}"),
        Some(local) => place(local),
        None => any,
    };
    let socket = UdpSocket::bind(&local).await.map_err(|error| named(&local, &error))?;
    let remote = place(remote);
    socket.connect(&remote).await.map_err(|error| named(&remote, &error))?;
    Ok(tokio::spawn(async move {
        let mut buffer = vec![0; 1 << 16];
        loop {
            tokio::select! {
                said = ends.output.recv() => {
                    let Some(bytes) = said else { return };
                    for piece in bytes.chunks(DATAGRAM) {
                        let _ = socket.send(piece).await;
                    }
                }
                // Errors are those of pieces that nobody took.
                read = socket.recv(&mut buffer) => if let Ok(count) = read {
                    let piece = buffer.get(..count).unwrap_or_default().to_vec();
                    if ends.input.send(piece).await.is_err() {
                        return;
                    }
                },
            }
        }
    }))
}
