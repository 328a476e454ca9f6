//! Random programs on the two ends of a connection: each answer is that of a small reference of TCP as Linux shows it to
//! programs (`tcp_sendmsg_locked`, `tcp_recvmsg_locked`, `tcp_reset`, `__tcp_close`). One call at a time, and what it sends
//! has arrived before the next.

use crate::{
    answers::bytes_from,
    stand::{Env, IS_REAL, run_alone},
};
use proptest::{prelude::*, test_runner::TestRunner};
use sim::{net::TcpStream, time};
use std::{io, io::ErrorKind, sync::Arc, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[derive(Clone, Copy, Debug)]
enum Call {
    Write { end: usize, len: usize },
    Read { end: usize, len: usize },
    Shutdown { end: usize },
    Close { end: usize },
}

#[derive(Clone, Debug, PartialEq)]
enum Answer {
    Wrote(usize),
    Bytes(Vec<u8>),
    Done,
    /// It waits.
    Waits,
    /// The end was closed before.
    Closed,
    Failed(ErrorKind),
}

/// One end, as its program sees it.
#[derive(Debug, Default)]
struct End {
    unread: Vec<u8>,
    written: u64,
    fin_received: bool,
    fin_sent: bool,
    /// A reset has come, or the connection is over otherwise.
    is_dead: bool,
    error: Option<ErrorKind>,
    is_closed: bool,
}

impl End {
    fn on_reset(&mut self) {
        if self.is_closed || self.is_dead || self.is_over() {
            return;
        }
        self.is_dead = true;
        self.error = Some(if self.fin_received { ErrorKind::BrokenPipe } else { ErrorKind::ConnectionReset });
    }

    /// Both directions have ended well.
    fn is_over(&self) -> bool {
        self.fin_sent && self.fin_received
    }
}

#[derive(Debug, Default)]
struct Reference([End; 2]);

impl Reference {
    fn call(&mut self, call: Call) -> Answer {
        let (Call::Write { end, .. } | Call::Read { end, .. } | Call::Shutdown { end } | Call::Close { end }) = call;
        let (first, second) = self.0.split_at_mut(1);
        let (own, peer) = if end == 0 { (&mut first[0], &mut second[0]) } else { (&mut second[0], &mut first[0]) };
        if own.is_closed {
            return Answer::Closed;
        }
        match call {
            Call::Write { len, .. } => {
                if let Some(error) = own.error.take() {
                    return Answer::Failed(error);
                }
                if own.is_dead || own.fin_sent {
                    return Answer::Failed(ErrorKind::BrokenPipe);
                }
                let bytes = bytes_from(own.written, len);
                own.written += len as u64;
                if peer.is_closed {
                    own.on_reset();
                } else {
                    peer.unread.extend(bytes);
                }
                Answer::Wrote(len)
            }
            Call::Read { len, .. } => {
                if !own.unread.is_empty() {
                    let rest = own.unread.split_off(len.min(own.unread.len()));
                    return Answer::Bytes(std::mem::replace(&mut own.unread, rest));
                }
                if own.fin_received {
                    return Answer::Bytes(Vec::new());
                }
                match own.error.take() {
                    Some(error) => Answer::Failed(error),
                    None if own.is_dead => Answer::Bytes(Vec::new()),
                    None => Answer::Waits,
                }
            }
            Call::Shutdown { .. } => {
                if !own.is_dead && !own.fin_sent {
                    own.fin_sent = true;
                    peer.fin_received = true;
                }
                Answer::Done
            }
            Call::Close { .. } => {
                let alive = !own.is_dead && !own.is_over();
                if alive && !own.unread.is_empty() {
                    peer.on_reset();
                } else if alive {
                    peer.fin_received = true;
                }
                own.is_closed = true;
                Answer::Done
            }
        }
    }
}

fn answer<T>(result: io::Result<T>, value: impl FnOnce(T) -> Answer) -> Answer {
    result.map_or_else(|error| Answer::Failed(error.kind()), value)
}

async fn call_machine(ends: &mut [Option<TcpStream>; 2], written: &mut [u64; 2], call: Call) -> Answer {
    let (Call::Write { end, .. } | Call::Read { end, .. } | Call::Shutdown { end } | Call::Close { end }) = call;
    let Some(stream) = &mut ends[end] else { return Answer::Closed };
    match call {
        Call::Write { len, .. } => {
            let result = stream.write(&bytes_from(written[end], len)).await;
            if let Ok(len) = result {
                written[end] += len as u64;
            }
            answer(result, Answer::Wrote)
        }
        Call::Read { len, .. } => {
            let mut bytes = vec![0; len];
            match time::timeout(Duration::from_millis(15), stream.read(&mut bytes)).await {
                Err(_) => Answer::Waits,
                Ok(result) => answer(result, |read| Answer::Bytes(bytes[..read].to_vec())),
            }
        }
        Call::Shutdown { .. } => answer(stream.shutdown().await, |()| Answer::Done),
        Call::Close { .. } => {
            ends[end] = None;
            Answer::Done
        }
    }
}

fn short(answer: &Answer) -> String {
    match answer {
        Answer::Bytes(bytes) => format!("{} bytes", bytes.len()),
        answer => format!("{answer:?}"),
    }
}

async fn compare(env: Env, calls: Vec<Call>) {
    let (ours, theirs) = env.connection().await;
    // Nagle's algorithm and delayed acknowledgements keep small writes back for up to 40 ms.
    ours.set_nodelay(true).expect("set");
    theirs.set_nodelay(true).expect("set");
    let (mut ends, mut written) = ([Some(ours), Some(theirs)], [0; 2]);
    let mut reference = Reference::default();
    let at_the_end = [0, 1, 0, 1].map(|end| Call::Read { end, len: 100_000 });
    for (number, call) in calls.into_iter().chain(at_the_end).enumerate() {
        let found = call_machine(&mut ends, &mut written, call).await;
        let expected = reference.call(call);
        assert!(
            found == expected,
            "call {number}, {call:?}: the machine says {}, the reference {}",
            short(&found),
            short(&expected)
        );
        if !matches!(call, Call::Read { .. }) {
            time::sleep(Duration::from_millis(3)).await;
        }
    }
}

fn call() -> impl Strategy<Value = Call> {
    let (end, len) = (0..2_usize, prop_oneof![1..100_usize, Just(1_448), Just(4_000)]);
    prop_oneof![
        5 => (end.clone(), len.clone()).prop_map(|(end, len)| Call::Write { end, len }),
        5 => (end.clone(), len).prop_map(|(end, len)| Call::Read { end, len }),
        1 => end.clone().prop_map(|end| Call::Shutdown { end }),
        1 => end.prop_map(|end| Call::Close { end }),
    ]
}

#[test]
fn every_answer_of_a_random_program_is_that_of_the_reference() {
    let cases = if IS_REAL { 100 } else { 500 };
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    let mut runner = TestRunner::new(config);
    let programs = proptest::collection::vec(call(), 1..25);
    let result = runner.run(&programs, |calls| {
        run_alone(Arc::new(move |env| Box::pin(compare(env, calls.clone()))));
        Ok(())
    });
    if let Err(failure) = result {
        panic!("{failure}");
    }
}
