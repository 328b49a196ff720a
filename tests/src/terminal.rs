//! A real terminal with a shell in it, and somebody who types.

use std::env::var;
use std::io::{Read, Write};
use std::process::Child;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use nix::unistd::getuid;
use pty_process::blocking::{Command, Pty, open};

use crate::cgroups::Subtree;
use crate::program::{PATIENCE, path};
use crate::{NOBODY, Role};

/// What the shell prints instead of `$ `: a character that nothing else prints.
const PROMPT: char = '\u{1e}';

const SHELL: [&str; 2] = ["/bin/sh", "-i"];

/// A pseudo-terminal with an interactive `/bin/sh`.
pub struct Terminal {
    pty: Pty,
    shell: Child,
    screen: Receiver<Vec<u8>>,
    /// What was printed and not looked at yet.
    printed: Vec<u8>,
}

impl Terminal {
    /// Opens a terminal in `role`, and waits for the first prompt.
    pub fn open(role: Role) -> Terminal {
        Terminal::start(role, &SHELL)
    }

    /// The same, in a subtree of cgroups and in its role.
    pub fn open_in(subtree: &Subtree) -> Terminal {
        let (role, line) = subtree.line(&SHELL);
        Terminal::start(role, &line)
    }

    fn start(role: Role, line: &[&str]) -> Terminal {
        let (pty, pts) = open().expect("/dev/ptmx can be opened");
        pty.resize(pty_process::Size::new(24, 120)).expect("a terminal can be resized");
        // Where systemd is asked for a subtree, these lead to it.
        let systemd = ["XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];
        let systemd = systemd.into_iter().filter_map(|name| Some((name, var(name).ok()?)));
        let mut command = Command::new(line[0])
            .args(&line[1..])
            .current_dir("/tmp")
            .env_clear()
            .envs([
                ("PATH", path().as_str()),
                ("PS1", &PROMPT.to_string()),
                ("TERM", "dumb"),
                ("LC_ALL", "C"),
            ])
            .envs(systemd);
        if role.uid() != getuid().as_raw() {
            // The terminal's own device belongs to who opened it; a shell only needs the open
            // descriptors.
            command = command.uid(NOBODY).gid(NOBODY);
        }
        let shell = command.spawn(pts).expect("/bin/sh can be started");
        let (sender, screen) = channel();
        let mut reader = std::fs::File::from(
            std::os::fd::AsFd::as_fd(&pty).try_clone_to_owned().expect("it is open"),
        );
        // Ends with the terminal.
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut terminal = Terminal { pty, shell, screen, printed: Vec::new() };
        terminal.read_until(&PROMPT.to_string());
        terminal
    }

    /// Types a command, and returns what was printed until the next prompt.
    pub fn run(&mut self, command: &str) -> String {
        self.press(&format!("{command}\n"));
        let screen = self.read_until(&PROMPT.to_string());
        // The terminal echoes what is typed.
        screen.strip_prefix(&format!("{command}\n")).unwrap_or(&screen).to_owned()
    }

    /// Makes the window larger or smaller.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        self.pty.resize(pty_process::Size::new(rows, columns)).expect("the terminal is open");
    }

    /// Presses keys: `"\x03"` is Ctrl-C.
    pub fn press(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).expect("the terminal is open");
    }

    /// Waits until `mark` is printed, and returns what was printed before it.
    pub fn read_until(&mut self, mark: &str) -> String {
        let started = Instant::now();
        loop {
            let text = String::from_utf8_lossy(&self.printed).replace('\r', "");
            if let Some((before, after)) = text.split_once(mark) {
                self.printed = after.as_bytes().to_vec();
                return before.to_owned();
            }
            let left = PATIENCE.saturating_sub(started.elapsed());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.printed.extend(bytes),
                Err(_) => panic!("waited in vain for {mark:?}; the screen shows:\n{text}"),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        _ = self.shell.kill();
        _ = self.shell.wait();
    }
}
