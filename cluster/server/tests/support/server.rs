//! One server process: its output goes to a file, its boot line says that it serves.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use sim::time::{Instant, sleep};

use super::PATIENCE;

/// How many of the last lines are shown of a server when a test fails.
const SHOWN_LINES: usize = 40;
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// A server process, running or not. It is killed when this is dropped.
pub struct Server {
    name: String,
    program: PathBuf,
    configuration: PathBuf,
    log: PathBuf,
    /// Where in the log the present process began.
    began_at: usize,
    child: Option<Child>,
}

impl Server {
    /// A program with its configuration file, not yet running; its output is appended to `name.log` in `work`.
    pub fn new(name: &str, program: &str, configuration: PathBuf, work: &Path) -> Self {
        let log = work.join(format!("{name}.log"));
        Self { name: name.to_owned(), program: program.into(), configuration, log, began_at: 0, child: None }
    }

    fn launch(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(&self.log).expect("the work directory can be written");
        self.began_at = usize::try_from(log.metadata().expect("it is open").len()).expect("logs are short");
        let child = Command::new(&self.program)
            .arg("-c")
            .arg(&self.configuration)
            .env_remove("NAMESRV_ADDR")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be had twice"))
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{}: {error}", self.program.display())));
    }

    /// What the present process has printed, or the last one if none runs.
    pub fn output(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(self.began_at..).unwrap_or_default()).into_owned()
    }

    fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().expect("it is ours").is_some())
    }

    /// Starts it and waits for its boot line.
    pub async fn start(&mut self) {
        self.launch();
        let begin = Instant::now();
        while !self.output().contains("boot success") {
            assert!(!self.has_ended(), "{} does not start:\n{}", self.name, self.output());
            assert!(begin.elapsed() < PATIENCE, "{} prints no boot line", self.name);
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Starts it and waits for it to end by itself with an error; gives what it printed.
    pub async fn refuses(&mut self) -> String {
        self.launch();
        let begin = Instant::now();
        while !self.has_ended() {
            let output = self.output();
            assert!(!output.contains("boot success"), "{} starts:\n{output}", self.name);
            assert!(begin.elapsed() < PATIENCE, "{} neither starts nor ends", self.name);
            sleep(LOOK_INTERVAL).await;
        }
        let status = self.child.take().expect("it was launched").wait().expect("it has ended");
        let output = self.output();
        assert_eq!(status.code(), Some(1), "{}: {status}\n{output}", self.name);
        output
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error means that it has ended by itself.
            let _ = child.kill();
            child.wait().expect("it is ours");
        }
    }

    /// SIGTERM, and waits for it to end in good order.
    pub async fn stop(&mut self) {
        let child = self.child.as_ref().expect("it runs");
        let pid = Pid::from_child(child);
        kill_process(pid, Signal::TERM).expect("it is ours");
        let begin = Instant::now();
        while !self.has_ended() {
            assert!(begin.elapsed() < PATIENCE, "{} does not stop", self.name);
            sleep(LOOK_INTERVAL).await;
        }
        let status = self.child.take().expect("it ran").wait().expect("it has ended");
        assert!(status.success(), "{}: {status}\n{}", self.name, self.output());
    }

    /// CPU seconds that the process has used so far, user and system (`/proc/pid/stat`, in ticks of 10 ms).
    pub fn cpu_s(&self) -> f64 {
        cpu_s(self.child.as_ref().expect("it runs").id())
    }

    /// The memory that is its own and in use now, in MiB (`VmRSS` without mapped files).
    pub fn memory_mib(&self) -> u64 {
        let pid = self.child.as_ref().expect("it runs").id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
        let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
        anonymous.and_then(|kib| kib.parse::<u64>().ok()).expect("proc(5)") / 1024
    }

    /// How often its threads have waited so far; see [`waits`].
    pub fn waits(&self) -> f64 {
        waits(self.child.as_ref().expect("it runs").id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let output = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = output.lines().collect();
            let shown = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
            eprintln!("--- the end of {}\n{shown}", self.log.display());
        }
    }
}

/// CPU seconds of a process.
pub fn cpu_s(pid: u32) -> f64 {
    const TICKS_PER_S: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    // The command's name is in brackets and may hold blanks; utime and stime are the 14th and 15th field of all.
    let (_, fields) = stat.rsplit_once(')').expect("proc(5)");
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() / TICKS_PER_S
}

/// How often the threads of a process have gone to sleep so far (`voluntary_ctxt_switches` of those that are still there).
pub fn waits(pid: u32) -> f64 {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the process is there");
    let of_thread = |thread: std::io::Result<std::fs::DirEntry>| {
        // A thread may have ended since.
        let status = std::fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<f64>().ok())
    };
    threads.filter_map(of_thread).sum()
}
