//! Bytes on their way: order, back-pressure, parts, cancellation.

use crate::{
    answers::{byte_at, bytes_from},
    stand::IS_REAL,
};
use sim::{
    net::{TcpListener, TcpStream},
    task, time,
};
use std::{io::IoSlice, time::Duration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Writes until nothing more is taken for a while; how much was.
async fn fill(stream: &mut TcpStream) -> u64 {
    let mut written = 0;
    let block = vec![3; 64 * 1024];
    while let Ok(taken) = time::timeout(Duration::from_millis(300), stream.write(&block)).await {
        written += taken.expect("the connection is sound") as u64;
        assert!(written < 256 << 20, "there is no back-pressure");
    }
    written
}

async fn read_away(stream: &mut TcpStream, mut bytes: u64) {
    let mut buffer = vec![0; 64 * 1024];
    while bytes > 0 {
        let want = buffer.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
        let read = stream.read(&mut buffer[..want]).await.expect("the connection is sound");
        assert_ne!(read, 0, "it ended {bytes} bytes early");
        bytes -= read as u64;
    }
}

conformance! {
    async fn a_large_transfer_arrives_byte_for_byte(env: Env) {
        let total: u64 = if IS_REAL { 64 << 20 } else { 16 << 20 };
        let (mut ours, mut theirs) = env.connection().await;
        let writing = task::spawn(async move {
            let mut position = 0;
            while position < total {
                // Blocks of many sizes, as a prime walks through them.
                let len = (position * 31 + 7_919) % 150_000 + 1;
                let block = bytes_from(position, len.min(total - position) as usize);
                ours.write_all(&block).await.expect("written");
                position += block.len() as u64;
            }
        });
        let (mut position, mut buffer) = (0, vec![0; 70_001]);
        loop {
            let read = theirs.read(&mut buffer).await.expect("it arrives");
            if read == 0 {
                break;
            }
            for (at, &byte) in buffer[..read].iter().enumerate() {
                assert!(byte == byte_at(position + at as u64), "at {}", position + at as u64);
            }
            position += read as u64;
        }
        assert_eq!(position, total);
        writing.await.expect("all was written");
    }

    async fn both_directions_flow_at_once(env: Env) {
        const TOTAL: usize = 2 << 20;
        let (ours, theirs) = env.connection().await;
        let mut tasks = Vec::new();
        for stream in [ours, theirs] {
            let (mut read, mut write) = stream.into_split();
            tasks.push(task::spawn(async move { write.write_all(&bytes_from(0, TOTAL)).await.expect("written") }));
            tasks.push(task::spawn(async move {
                let mut bytes = Vec::new();
                read.read_to_end(&mut bytes).await.expect("it arrives");
                assert!(bytes == bytes_from(0, TOTAL));
            }));
        }
        for task in tasks {
            task.await.expect("it went well");
        }
    }

    async fn a_writer_waits_for_a_reader_that_does_not_read(env: Env) {
        let (mut ours, mut theirs) = env.connection().await;
        let written = fill(&mut ours).await;
        // Linux tunes its buffers by itself: `tcp_wmem` and `tcp_rmem` end at 4 MiB and at 6 to 32 MiB.
        assert!((128 << 10..=64 << 20).contains(&written), "{written} bytes fit between writer and reader");
        // Reading makes room, and nothing is lost.
        read_away(&mut theirs, written / 2).await;
        let more = fill(&mut ours).await;
        assert!(more > 0);
        drop(ours);
        read_away(&mut theirs, written - written / 2 + more).await;
        assert_eq!(theirs.read(&mut [0; 8]).await.expect("the end"), 0);
    }

    async fn what_fits_into_the_buffers_is_taken_at_once_and_sent_after_the_close(env: Env) {
        let (mut ours, mut theirs) = env.connection().await;
        let written = fill(&mut ours).await;
        drop(ours);
        env.settle().await;
        read_away(&mut theirs, written).await;
        assert_eq!(theirs.read(&mut [0; 8]).await.expect("the end"), 0);
    }

    async fn a_read_takes_what_is_there_and_no_more_than_fits(env: Env) {
        let (mut ours, mut theirs) = env.connection().await;
        ours.write_all(&bytes_from(0, 1_000)).await.expect("written");
        env.settle().await;
        let mut small = [0; 300];
        assert_eq!(theirs.read(&mut small).await.expect("it is there"), 300);
        assert_eq!(small[..], bytes_from(0, 300));
        let mut large = [0; 5_000];
        assert_eq!(theirs.read(&mut large).await.expect("it is there"), 700);
        assert_eq!(large[..700], bytes_from(300, 700));
        assert!(time::timeout(Duration::from_millis(30), theirs.read(&mut large)).await.is_err());
    }

    async fn writes_have_no_borders(env: Env) {
        let (mut ours, mut theirs) = env.connection().await;
        for position in 0..100 {
            ours.write_all(&[byte_at(position)]).await.expect("written");
        }
        env.settle().await;
        let mut bytes = [0; 200];
        assert_eq!(theirs.read(&mut bytes).await.expect("it is there"), 100);
        assert_eq!(bytes[..100], bytes_from(0, 100));
    }

    async fn an_empty_write_is_nothing(env: Env) {
        let (mut ours, mut theirs) = env.connection().await;
        assert_eq!(ours.write(&[]).await.expect("no error"), 0);
        ours.write_all(b"x").await.expect("written");
        let mut bytes = [0; 8];
        assert_eq!(theirs.read(&mut bytes).await.expect("it is there"), 1);
    }

    async fn slices_are_written_one_after_the_other(env: Env) {
        let (mut ours, mut theirs) = env.connection().await;
        assert!(tokio::io::AsyncWrite::is_write_vectored(&ours));
        let slices = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two "), IoSlice::new(b"three")];
        assert_eq!(ours.write_vectored(&slices).await.expect("written"), 13);
        let mut bytes = [0; 13];
        theirs.read_exact(&mut bytes).await.expect("it arrives");
        assert_eq!(&bytes, b"one two three");
    }

    async fn small_messages_go_back_and_forth_with_and_without_nodelay(env: Env) {
        for nodelay in [false, true] {
            let (mut ours, mut theirs) = env.connection().await;
            ours.set_nodelay(nodelay).expect("set");
            theirs.set_nodelay(nodelay).expect("set");
            let echo = task::spawn(async move {
                let mut message = [0; 16];
                while theirs.read_exact(&mut message).await.is_ok() {
                    theirs.write_all(&message).await.expect("written");
                }
            });
            for round in 0..200_u8 {
                ours.write_all(&[round; 16]).await.expect("written");
                let mut answer = [0; 16];
                ours.read_exact(&mut answer).await.expect("answered");
                assert_eq!(answer, [round; 16]);
            }
            drop(ours);
            echo.await.expect("it ended");
        }
    }

    async fn a_read_that_is_given_up_loses_nothing(env: Env) {
        const TOTAL: u64 = 40_000;
        let (mut ours, mut theirs) = env.connection().await;
        let writing = task::spawn(async move {
            for position in (0..TOTAL).step_by(1_000) {
                ours.write_all(&bytes_from(position, 1_000)).await.expect("written");
                time::sleep(Duration::from_micros(700)).await;
            }
        });
        let (mut position, mut given_up, mut buffer) = (0, 0, [0; 333]);
        while position < TOTAL {
            tokio::select! {
                biased;
                read = theirs.read(&mut buffer) => {
                    let read = read.expect("it arrives") as u64;
                    assert_ne!(read, 0, "it ended early");
                    assert_eq!(buffer[..read as usize], bytes_from(position, read as usize));
                    position += read;
                }
                () = time::sleep(Duration::from_micros(100)) => given_up += 1,
            }
        }
        assert!(given_up > 0, "no read was ever given up");
        writing.await.expect("all was written");
    }

    async fn a_write_that_is_given_up_has_written_nothing(env: Env) {
        let (mut ours, mut theirs) = env.connection().await;
        let written = fill(&mut ours).await;
        for _ in 0..3 {
            let given_up = time::timeout(Duration::from_millis(20), ours.write(&[9; 1_000])).await;
            assert!(given_up.is_err(), "the buffers are full");
        }
        drop(ours);
        let mut bytes = Vec::new();
        theirs.read_to_end(&mut bytes).await.expect("it ends");
        assert_eq!(bytes.len() as u64, written);
        assert!(bytes.iter().all(|&byte| byte == 3));
    }

    async fn many_connections_do_not_mix(env: Env) {
        let listener = env.listen().await;
        let address = listener.local_addr().expect("bound");
        task::spawn(serve_echo(listener));
        let mut clients = Vec::new();
        for number in 0..100_u64 {
            clients.push(task::spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("connected");
                for round in 0..5 {
                    let question = bytes_from(number * 1_000_003 + round, 3_000);
                    stream.write_all(&question).await.expect("written");
                    let mut answer = vec![0; 3_000];
                    stream.read_exact(&mut answer).await.expect("answered");
                    assert!(answer == question);
                }
            }));
        }
        for client in clients {
            client.await.expect("it went well");
        }
    }

    async fn two_tasks_share_a_connection_by_its_halves(env: Env) {
        let (ours, mut theirs) = env.connection().await;
        let (mut read, mut write) = ours.into_split();
        let reading = task::spawn(async move {
            let mut bytes = Vec::new();
            read.read_to_end(&mut bytes).await.expect("it ends");
            bytes
        });
        // The reader waits already when the writer begins.
        env.settle().await;
        write.write_all(b"ping").await.expect("written");
        let mut ping = [0; 4];
        theirs.read_exact(&mut ping).await.expect("it arrives");
        theirs.write_all(b"pong").await.expect("written");
        drop(theirs);
        assert_eq!(reading.await.expect("it ended"), b"pong");
    }
}

async fn serve_echo(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        task::spawn(async move {
            let mut buffer = vec![0; 1_024];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..read]).await.is_err() {
                    return;
                }
            }
        });
    }
}
