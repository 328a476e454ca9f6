//! What many topics cost, on the real binaries, over loopback.
//!
//! `cargo bench -p server --features real --bench topics` (`-- --quick` for a tenth): 5,000 topics by UPDATE_AND_CREATE_TOPIC from one
//! client that waits for each answer, by 16 such clients, and by sends that make their topics; in seconds. The aim
//! is 5 s. How much is written and sent is counted, without a clock, in `cluster/broker/tests/broker/registration.rs`.

#[path = "../tests/support/mod.rs"]
mod support;

use client::{Admin, Message, Producer};
use protocol::body::TopicConfig;
use protocol::perm;
use sim::task;
use sim::time::Instant;
use support::machines::Machines;

const BROKER: &str = "broker-a";
const CLIENTS: usize = 16;

fn main() {
    let topics = if std::env::args().any(|argument| argument == "--quick") { 500 } else { 5_000 };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("threads can be had").block_on(measure(topics));
}

async fn measure(topics: usize) {
    println!("{topics} topics; real binaries, one master and one name server over loopback; aim: 5 s for 5,000");
    for (what, clients, by_sends) in [("one client", 1, false), ("16 clients", CLIENTS, false), ("sends", 1, true)] {
        let mut machines = Machines::start(1).await;
        machines.add(BROKER, "2m-noslave/broker-a.properties", &[]).server.start().await;
        let begin = Instant::now();
        if by_sends {
            make_by_sends(&machines, topics).await;
        } else {
            make(&machines, topics, clients).await;
        }
        println!("{what}: {:.2} s", begin.elapsed().as_secs_f64());
    }
}

/// By administrators, each of which waits for its answer.
async fn make(machines: &Machines, topics: usize, clients: usize) {
    let addr = machines.broker(BROKER).addr();
    let makers: Vec<_> = (0..clients)
        .map(|client| {
            let (addr, config) = (addr.clone(), machines.client_config());
            task::spawn(async move {
                let admin = Admin::start(config).expect("the addresses are well-formed");
                for number in (client..topics).step_by(clients) {
                    let topic = TopicConfig::new(format!("Topic{number}"), 1, perm::PERM_READ | perm::PERM_WRITE);
                    admin.create_topic(&addr, &topic).await.expect("the broker makes it");
                }
            })
        })
        .collect();
    for maker in makers {
        maker.await.expect("a client does not panic");
    }
}

/// By a producer whose messages make their topics.
async fn make_by_sends(machines: &Machines, topics: usize) {
    let producer = Producer::builder("bench").client_config(machines.client_config()).start().await;
    let producer = producer.expect("the settings are right");
    for number in 0..topics {
        let message = Message::new(format!("Topic{number}"), "x");
        producer.send(message).await.expect("the broker makes the topic");
    }
    producer.shutdown().await;
}
