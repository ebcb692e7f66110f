//! A program that ends with whoever started it, its own children too.
//!
//! As with the cluster, a small shell waits on a pipe that only this process holds open: there is one way to the
//! end, whether this process drops the program, panics or is killed.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};

/// Asks the process group to end, waits for its leader, and ends what is left. A zombie has ended, though it may
/// not be reaped for long.
const GUARD: &str = r#"
if read -r word && [ "$word" = ended ]; then exit; fi
kill -s TERM -- "-$1" || exit
for _ in $(seq 200); do
  grep -q '^State:.*[RSDT]' "/proc/$1/status" || break
  sleep 0.05
done
kill -s KILL -- "-$1"
"#;

/// A running program in a process group of its own. Dropping it ends the whole group: SIGTERM to all, and
/// SIGKILL to who is left when the program itself has ended, or after ten seconds.
#[derive(Debug)]
pub struct ChildProcess {
    child: Child,
    guard: Child,
}

impl ChildProcess {
    /// Starts a program; its input is empty.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        Self::start_with(command, Stdio::null())
    }

    /// Starts a program with this as its input, such as a socket to listen on.
    pub fn start_with(command: &mut Command, input: impl Into<Stdio>) -> io::Result<Self> {
        let child = command.process_group(0).stdin(input).spawn()?;
        match guard(child.id()) {
            Ok(guard) => Ok(Self { child, guard }),
            Err(error) => {
                let mut child = child;
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child itself, for its output.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.dismiss();
        }
        Ok(status)
    }

    /// Sends a signal such as `HUP` to the program itself.
    pub fn signal(&mut self, name: &str) -> io::Result<()> {
        if self.ended()?.is_some() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", "kill -s \"$1\" \"$2\"", "kill", name, &self.id().to_string()]);
        if shell.status()?.success() { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Waits for the program to end by itself.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait()?;
        self.dismiss();
        Ok(status)
    }

    /// Tells the guard that the number may soon be another's.
    fn dismiss(&mut self) {
        if let Some(mut stdin) = self.guard.stdin.take() {
            let _ = stdin.write_all(b"ended\n");
        }
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // Reaped before the guard is: until then the group would seem to live.
        let _ = self.child.wait();
        let _ = self.guard.wait();
    }
}

fn guard(process: u32) -> io::Result<Child> {
    let mut shell = Command::new("sh");
    shell.args(["-c", GUARD, "guard", &process.to_string()]).process_group(0);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}
