//! The attackers' process: this program again, at the lowest priority. It ends with whoever started it.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is outside of the programs that are measured"
)]

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use protocol::{RemotingCommand, response_code};
use remoting::{Channel, RemotingServer, Reply, RequestHandler, ServerConfig};

use super::attacks::{ATTACKS, Attack, Target};

/// On the command line before the orders.
const ATTACK: &str = "--attack";
const LOWEST_PRIORITY: i32 = 19;

/// Attackers at work; stopped when it is dropped.
pub struct Attackers(Child);

impl Attackers {
    /// Lets this attack go on.
    pub fn start(attack: &Attack, target: &Target) -> Self {
        let program = std::env::current_exe().expect("it runs");
        let mut command = Command::new(program);
        command.args([ATTACK, attack.name, &target.addr, &target.body_at.to_string()]);
        Self(command.stdin(Stdio::piped()).spawn().expect("it can be started once more"))
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        // An error means that it has ended by itself.
        let _ = self.0.kill();
        self.0.wait().expect("it is ours");
    }
}

/// What a process of attackers is to do.
pub struct Orders {
    attack: &'static Attack,
    target: Target,
}

impl Orders {
    /// The orders on the command line, if this is a process of attackers.
    pub fn of_this_process() -> Option<Self> {
        let mut arguments = std::env::args().skip_while(|argument| argument != ATTACK).skip(1);
        let (name, addr, body_at) = (arguments.next()?, arguments.next()?, arguments.next()?);
        let attack = ATTACKS.iter().find(|attack| attack.name == name).expect("there is such an attack");
        Some(Self { attack, target: Target { addr, body_at: body_at.parse().expect("it is a number") } })
    }

    /// Attacks until whoever gave the orders is gone.
    pub async fn obey(mut self) {
        sim::process::raise_open_files_max();
        for thread in std::fs::read_dir("/proc/self/task").expect("proc(5)") {
            let thread = thread.expect("proc(5)").file_name();
            let id = thread.to_str().and_then(|id| id.parse().ok()).and_then(rustix::process::Pid::from_raw);
            rustix::process::setpriority_process(id, LOWEST_PRIORITY).expect("anybody may lower it");
        }
        let sink = if self.target.addr.is_empty() {
            let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
            let sink = RemotingServer::bind(any_port, Arc::new(Sink), ServerConfig::default()).await;
            let sink = sink.expect("there is a free port");
            self.target.addr = sink.local_addr().to_string();
            Some(sink)
        } else {
            None
        };
        let attack = tokio::spawn((self.attack.run)(self.target));
        // The end of the input is the end of the process at the other end.
        let _ = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await;
        attack.abort();
        drop(sink);
    }
}

/// Answers SUCCESS to everything.
struct Sink;

impl RequestHandler for Sink {
    fn handle(&self, _: &Channel, _: RemotingCommand) -> Reply {
        RemotingCommand::response(response_code::SUCCESS).into()
    }
}
