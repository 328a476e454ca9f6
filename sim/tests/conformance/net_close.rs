//! Connections come to their end: half close, end of stream, resets, and which call hears of them (`man 7 tcp`;
//! `tcp_reset`, `tcp_recvmsg_locked` and `sk_stream_error` of Linux).

use crate::answers::kind;
use sim::net::TcpStream;
use std::{io::ErrorKind, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Our end of a connection whose other end was closed with something unread: it has been reset.
async fn reset(env: &crate::stand::Env) -> TcpStream {
    let (mut ours, theirs) = env.connection().await;
    ours.write_all(b"unread").await.expect("written");
    env.settle().await;
    drop(theirs);
    env.settle().await;
    ours
}

/// Our end of a connection whose other end was closed with nothing unread, and which we have written to since: our bytes were
/// answered with a reset.
async fn written_after_close(env: &crate::stand::Env, read_first: bool) -> TcpStream {
    let (mut ours, theirs) = env.connection().await;
    drop(theirs);
    env.settle().await;
    if read_first {
        assert_eq!(ours.read(&mut [0; 8]).await.expect("it ended well"), 0);
    }
    ours.write_all(b"nobody reads this").await.expect("the first is taken");
    env.settle().await;
    ours
}

conformance! {
    async fn the_end_of_the_stream_is_read_again_and_again(env: Env) {
        let (mut ours, theirs) = env.connection().await;
        drop(theirs);
        for _ in 0..3 {
            assert_eq!(ours.read(&mut [0; 8]).await.expect("it ended well"), 0);
        }
        let mut rest = Vec::new();
        assert_eq!(ours.read_to_end(&mut rest).await.expect("it ended well"), 0);
    }

    async fn what_was_written_before_a_close_arrives_before_the_end(env: Env) {
        let (mut ours, mut theirs) = env.connection().await;
        theirs.write_all(&[7; 10_000]).await.expect("written");
        drop(theirs);
        env.settle().await;
        let mut bytes = Vec::new();
        ours.read_to_end(&mut bytes).await.expect("it ended well");
        assert_eq!(bytes, [7; 10_000]);
    }

    async fn a_half_closed_connection_goes_on_in_the_other_direction(env: Env) {
        let (mut ours, mut theirs) = env.connection().await;
        ours.write_all(b"question").await.expect("written");
        ours.shutdown().await.expect("shut down");
        let mut question = Vec::new();
        theirs.read_to_end(&mut question).await.expect("it ends");
        assert_eq!(question, b"question");
        for round in 0..20 {
            theirs.write_all(&[round; 5_000]).await.expect("their direction is open");
            let mut answer = [0; 5_000];
            ours.read_exact(&mut answer).await.expect("it arrives");
            assert_eq!(answer, [round; 5_000]);
        }
        drop(theirs);
        assert_eq!(ours.read(&mut [0; 8]).await.expect("it ended well"), 0);
    }

    async fn a_side_that_was_shut_down_cannot_write(env: Env) {
        let (mut ours, mut theirs) = env.connection().await;
        ours.shutdown().await.expect("shut down");
        assert_eq!(kind(ours.write(b"x").await), ErrorKind::BrokenPipe);
        assert_eq!(kind(ours.write(b"x").await), ErrorKind::BrokenPipe);
        assert_eq!(theirs.read(&mut [0; 8]).await.expect("it ended well"), 0);
    }

    async fn shutting_down_twice_is_no_error(env: Env) {
        let (mut ours, mut theirs) = env.connection().await;
        ours.shutdown().await.expect("shut down");
        ours.shutdown().await.expect("shut down already");
        assert_eq!(theirs.read(&mut [0; 8]).await.expect("it ended well"), 0);
        theirs.write_all(b"still open").await.expect("written");
        let mut bytes = [0; 10];
        ours.read_exact(&mut bytes).await.expect("it arrives");
    }

    async fn both_sides_may_shut_down_and_then_read_the_end(env: Env) {
        let (mut ours, mut theirs) = env.connection().await;
        ours.shutdown().await.expect("shut down");
        theirs.shutdown().await.expect("shut down");
        env.settle().await;
        assert_eq!(ours.read(&mut [0; 8]).await.expect("it ended well"), 0);
        assert_eq!(theirs.read(&mut [0; 8]).await.expect("it ended well"), 0);
        assert_eq!(kind(ours.write(b"x").await), ErrorKind::BrokenPipe);
        assert_eq!(kind(theirs.write(b"x").await), ErrorKind::BrokenPipe);
        assert_eq!(ours.read(&mut [0; 8]).await.expect("still the end"), 0);
    }

    async fn shutting_down_what_is_over_already(env: Env) {
        // The kernel says ENOTCONN, which tokio keeps to itself.
        let mut reset = reset(&env).await;
        reset.shutdown().await.expect("no error");
        assert_eq!(kind(reset.read(&mut [0; 8]).await), ErrorKind::ConnectionReset);
    }

    async fn closing_with_unread_data_resets_the_peer(env: Env) {
        let mut ours = reset(&env).await;
        assert_eq!(kind(ours.read(&mut [0; 8]).await), ErrorKind::ConnectionReset);
        // The error is told once.
        assert_eq!(ours.read(&mut [0; 8]).await.expect("the end"), 0);
        assert_eq!(kind(ours.write(b"x").await), ErrorKind::BrokenPipe);
        assert_eq!(kind(ours.write(b"x").await), ErrorKind::BrokenPipe);
    }

    async fn a_write_hears_of_a_reset_first_if_it_comes_first(env: Env) {
        let mut ours = reset(&env).await;
        assert_eq!(kind(ours.write(b"x").await), ErrorKind::ConnectionReset);
        assert_eq!(kind(ours.write(b"x").await), ErrorKind::BrokenPipe);
        assert_eq!(ours.read(&mut [0; 8]).await.expect("the end"), 0);
    }

    async fn what_arrived_before_a_reset_can_still_be_read(env: Env) {
        let (mut ours, mut theirs) = env.connection().await;
        theirs.write_all(b"last words").await.expect("written");
        ours.write_all(b"unread").await.expect("written");
        env.settle().await;
        drop(theirs);
        env.settle().await;
        let mut bytes = [0; 10];
        ours.read_exact(&mut bytes).await.expect("it had arrived");
        assert_eq!(&bytes, b"last words");
        assert_eq!(kind(ours.read(&mut [0; 8]).await), ErrorKind::ConnectionReset);
        assert_eq!(ours.read(&mut [0; 8]).await.expect("the end"), 0);
    }

    async fn writing_to_a_closed_peer_succeeds_once_and_then_breaks_the_pipe(env: Env) {
        let mut ours = written_after_close(&env, true).await;
        assert_eq!(kind(ours.write(b"x").await), ErrorKind::BrokenPipe);
        assert_eq!(kind(ours.write(b"x").await), ErrorKind::BrokenPipe);
        assert_eq!(ours.read(&mut [0; 8]).await.expect("the end"), 0);
    }

    async fn reading_after_a_close_stays_at_the_end_even_when_a_reset_followed(env: Env) {
        // The end of the stream was seen by the kernel before the reset came: reads say so, whether or not it was read before.
        for read_first in [true, false] {
            let mut ours = written_after_close(&env, read_first).await;
            assert_eq!(ours.read(&mut [0; 8]).await.expect("the end"), 0, "{read_first}");
            assert_eq!(kind(ours.write(b"x").await), ErrorKind::BrokenPipe, "{read_first}");
            assert_eq!(ours.read(&mut [0; 8]).await.expect("the end"), 0, "{read_first}");
        }
    }

    async fn a_peer_that_closes_while_we_write_much_resets_us(env: Env) {
        let (mut ours, mut theirs) = env.connection().await;
        let writing = sim::task::spawn(async move {
            let block = vec![1; 100_000];
            loop {
                if let Err(error) = ours.write_all(&block).await {
                    return (error.kind(), ours);
                }
            }
        });
        theirs.read_exact(&mut [0; 1_000]).await.expect("it arrives");
        env.settle().await;
        drop(theirs);
        let (kind_of_error, mut ours) = writing.await.expect("it returned");
        assert_eq!(kind_of_error, ErrorKind::ConnectionReset);
        assert_eq!(kind(ours.write(b"x").await), ErrorKind::BrokenPipe);
    }

    async fn a_reader_that_waits_is_told_of_a_reset(env: Env) {
        let (mut ours, theirs) = env.connection().await;
        ours.write_all(b"unread").await.expect("written");
        env.settle().await;
        let reading = sim::task::spawn(async move { kind(ours.read(&mut [0; 8]).await) });
        env.settle().await;
        drop(theirs);
        assert_eq!(reading.await.expect("it returned"), ErrorKind::ConnectionReset);
    }

    async fn a_dropped_write_half_ends_the_stream_and_the_read_half_lives_on(env: Env) {
        let (ours, mut theirs) = env.connection().await;
        let (mut read, mut write) = ours.into_split();
        write.write_all(b"question").await.expect("written");
        drop(write);
        let mut question = Vec::new();
        theirs.read_to_end(&mut question).await.expect("it ends");
        assert_eq!(question, b"question");
        theirs.write_all(b"answer").await.expect("written");
        let mut answer = [0; 6];
        read.read_exact(&mut answer).await.expect("it arrives");
        assert_eq!(&answer, b"answer");
    }

    async fn a_dropped_read_half_ends_nothing(env: Env) {
        let (ours, mut theirs) = env.connection().await;
        let (read, mut write) = ours.into_split();
        drop(read);
        write.write_all(b"still here").await.expect("written");
        let mut bytes = [0; 10];
        theirs.read_exact(&mut bytes).await.expect("it arrives");
        theirs.write_all(b"to nobody").await.expect("it is taken");
        env.settle().await;
        // The dropped write half says FIN; nobody can read what has come, so the close that follows resets.
        drop(write);
        env.settle().await;
        assert_eq!(theirs.read(&mut [0; 8]).await.expect("the end"), 0);
        assert_eq!(kind(theirs.write(b"x").await), ErrorKind::BrokenPipe);
    }

    async fn a_shut_down_write_half_that_is_dropped_says_nothing_new(env: Env) {
        let (ours, mut theirs) = env.connection().await;
        let (mut read, mut write) = ours.into_split();
        write.shutdown().await.expect("shut down");
        drop(write);
        assert_eq!(theirs.read(&mut [0; 8]).await.expect("the end"), 0);
        theirs.write_all(b"answer").await.expect("written");
        drop(theirs);
        let mut answer = Vec::new();
        read.read_to_end(&mut answer).await.expect("it ends");
        assert_eq!(answer, b"answer");
    }

    async fn a_task_that_is_aborted_closes_its_connection(env: Env) {
        let (mut ours, mut theirs) = env.connection().await;
        let waiting = sim::task::spawn(async move {
            let _ = theirs.read(&mut [0; 8]).await;
            drop(theirs);
        });
        env.settle().await;
        waiting.abort();
        assert_eq!(ours.read(&mut [0; 8]).await.expect("the end"), 0);
    }

    async fn a_late_answer_to_a_peer_that_left_is_lost_and_the_server_learns_it_by_writing(env: Env) {
        // A client that times out and goes away while the server works.
        let (mut ours, mut theirs) = env.connection().await;
        ours.write_all(b"question").await.expect("written");
        let mut question = [0; 8];
        theirs.read_exact(&mut question).await.expect("it arrives");
        drop(ours);
        sim::time::sleep(Duration::from_millis(60)).await;
        theirs.write_all(b"answer").await.expect("nobody has told the server");
        env.settle().await;
        assert_eq!(kind(theirs.write(b"more").await), ErrorKind::BrokenPipe);
        assert_eq!(theirs.read(&mut [0; 8]).await.expect("the end"), 0);
    }
}
