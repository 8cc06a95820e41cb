//! Round trips that a program measures with payloads of its own, over the channel `ECHO` ([MS-RDPEECO]): every client that
//! has opened the channel is asked, and what comes back says whose answer it is.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rdpmux_model::SessionId;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// One answer of one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EchoRoundTripMeasurement {
    /// What was sent and came back.
    pub payload: Vec<u8>,
    /// From handing the request to the session's writer to reading the answer.
    pub round_trip_time: Duration,
    /// Whose answer it is.
    pub session: SessionId,
}

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EchoError {
    /// [MS-RDPEECO] 3.1.5.1 wants one byte at least.
    #[error("an echo request has one byte at least")]
    Empty,
    /// Longer than 64 KiB.
    #[error("an echo request of {0} bytes where {PAYLOAD} are taken")]
    Long(usize),
}

/// Sends echo requests and collects measurements; any task may. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct EchoServerHandle(Arc<Mutex<Echoes>>);

#[derive(Debug, Default)]
struct Echoes {
    /// Requests that nobody was there for.
    waiting: VecDeque<Arc<[u8]>>,
    sessions: HashMap<SessionId, mpsc::Sender<Arc<[u8]>>>,
    measured: VecDeque<EchoRoundTripMeasurement>,
}

impl EchoServerHandle {
    /// Asks every client that has opened the channel; if none has, the first that will is asked (the last 64 such requests
    /// are kept). A client that owes 16 answers is left out.
    ///
    /// # Errors
    /// [`EchoError`]: nobody is asked.
    pub fn send_request(&self, payload: Vec<u8>) -> Result<(), EchoError> {
        if payload.is_empty() {
            return Err(EchoError::Empty);
        }
        if payload.len() > PAYLOAD {
            return Err(EchoError::Long(payload.len()));
        }
        let payload: Arc<[u8]> = payload.into();
        let mut echoes = self.0.lock();
        if echoes.sessions.is_empty() {
            echoes.waiting.push_back(payload);
            if echoes.waiting.len() > WAITING {
                echoes.waiting.pop_front();
            }
        } else {
            for session in echoes.sessions.values() {
                let _ = session.try_send(payload.clone());
            }
        }
        Ok(())
    }

    /// What was measured since the last call; the last 1,024 are kept.
    pub fn take_measurements(&self) -> Vec<EchoRoundTripMeasurement> {
        self.0.lock().measured.drain(..).collect()
    }

    /// `session` has opened the channel.
    pub(crate) fn join(&self, session: SessionId) -> EchoSeat {
        let (sender, requests) = mpsc::channel(WAITING);
        let mut echoes = self.0.lock();
        for payload in echoes.waiting.drain(..) {
            let _ = sender.try_send(payload);
        }
        echoes.sessions.insert(session, sender);
        drop(echoes);
        EchoSeat {
            session,
            handle: self.clone(),
            requests,
            asked: VecDeque::new(),
        }
    }
}

/// A session's part.
pub(crate) struct EchoSeat {
    session: SessionId,
    handle: EchoServerHandle,
    requests: mpsc::Receiver<Arc<[u8]>>,
    asked: VecDeque<(Arc<[u8]>, Instant)>,
}

impl EchoSeat {
    /// The next payload to send. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Arc<[u8]> {
        match self.requests.recv().await {
            Some(payload) => payload,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn on_sent(&mut self, payload: Arc<[u8]>, now: Instant) {
        self.asked.push_back((payload, now));
    }

    pub(crate) fn on_answer(&mut self, payload: Vec<u8>, now: Instant) {
        let at = self.asked.iter().position(|(asked, _)| **asked == *payload);
        let Some((_, asked)) = at.and_then(|at| self.asked.remove(at)) else {
            return;
        };
        let mut echoes = self.handle.0.lock();
        if echoes.measured.len() >= MEASURED {
            echoes.measured.pop_front();
        }
        echoes.measured.push_back(EchoRoundTripMeasurement {
            payload,
            round_trip_time: now - asked,
            session: self.session,
        });
    }
}

impl Drop for EchoSeat {
    fn drop(&mut self) {
        self.handle.0.lock().sessions.remove(&self.session);
    }
}

/// Bytes of a payload.
const PAYLOAD: usize = 64 << 10;
const WAITING: usize = 64;
const MEASURED: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_wait_for_the_first_client_and_then_go_to_each() {
        let handle = EchoServerHandle::default();
        assert_eq!(handle.send_request(Vec::new()), Err(EchoError::Empty));
        assert_eq!(handle.send_request(vec![0; 1 << 20]), Err(EchoError::Long(1 << 20)));
        for number in 0..100 {
            assert_eq!(handle.send_request(vec![number]), Ok(()));
        }
        let mut first = handle.join(SessionId(1));
        assert_eq!(first.next().await[..], [36], "the last 64 were kept");
        while first.requests.try_recv().is_ok() {}
        let mut second = handle.join(SessionId(2));
        handle.send_request(b"ping".to_vec()).unwrap();
        for (seat, wait) in [(&mut first, 5), (&mut second, 7)] {
            let payload = seat.next().await;
            seat.on_sent(payload, Instant::now());
            tokio::time::advance(Duration::from_millis(wait)).await;
            seat.on_answer(b"pong".to_vec(), Instant::now());
            seat.on_answer(b"ping".to_vec(), Instant::now());
        }
        let measured = handle.take_measurements();
        let of = |at: usize| (measured[at].session, measured[at].round_trip_time.as_millis());
        assert_eq!(
            (measured.len(), of(0), of(1)),
            (2, (SessionId(1), 5), (SessionId(2), 7))
        );
        drop((first, second));
        handle.send_request(b"later".to_vec()).unwrap();
        assert_eq!(handle.join(SessionId(3)).next().await[..], *b"later");
    }
}
