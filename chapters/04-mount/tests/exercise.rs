//! Checks the exercise of chapter 4.

use std::process::ExitCode;

use harness::Output;
use harness::exercise::{Answer, Exercise, Mismatch, expect};
use harness::files::on_shared_mounts;

fn main() -> ExitCode {
    harness::exercise::main(&EXERCISE)
}

/// What it is checked by.
pub const EXERCISE: Exercise = Exercise {
    package: "ch04-mount",
    needs: &["userns"],
    hint: "a private copy of the mounts comes first, the working directory last; and for /etc there \
           is a Tree that takes along what is mounted below",
    check,
    wrong: [
        &["the mounts outside"],
        &["where in /tmp and /etc a file can be made"],
        &["the working directory"],
    ],
};

fn check(answer: &Answer) -> Result<(), Mismatch> {
    let device = "stat -c %d /tmp";
    let is_new =
        format!("[ \\$({device}) != $({device}) ] && stat -fc %T /tmp || echo the old one");
    let is_new = say(answer, &format!("answer sh -c \"{is_new}\""))?;
    expect("the file system on /tmp", "tmpfs", is_new)?;
    expect("the mode of /tmp", "1777", say(answer, "answer stat -c %a /tmp")?)?;
    expect("how many files are in /tmp", 0, say(answer, "answer ls -A /tmp")?.lines().count())?;
    let known = say(answer, "answer cat /etc/file /etc/below/file")?.replace('\n', ", ");
    expect("what two files in /etc say", "one, two", known)?;
    let touch = "answer sh -c 'for folder in /tmp /etc /etc/below; do \
                 touch $folder/new && echo $folder; done 2>&-; :'";
    let writable = say(answer, touch)?.replace('\n', ", ");
    expect("where in /tmp and /etc a file can be made", "/tmp", writable)?;
    let is_there = "answer sh -c '[ . -ef /tmp ] && echo that || echo another'";
    expect("the working directory: is it that /tmp?", "that", say(answer, is_there)?)?;

    let [before, meanwhile, after] = three(answer, "cat /proc/$$/mountinfo")?;
    expect("the mounts outside, while it runs", "as before", changes(&before, &meanwhile))?;
    expect("the mounts outside, after its end", "as before", changes(&before, &after))?;

    let [outside, inside, _] = three(answer, "readlink /proc/self/ns/*")?;
    let links = outside.lines().zip(inside.lines()).filter(|(outside, inside)| outside != inside);
    let new: Vec<_> = links.filter_map(|(link, _)| link.split(':').next()).collect();
    expect("the namespaces in which the command and its caller differ", "mnt", new.join(", "))?;

    let status = on_stage(answer, "answer sh -c 'exit 7'").status;
    expect("the status of `sh -c 'exit 7'`", 7, status)
}

/// Runs `script`, which calls the program by the name `answer`, on a machine with shared mounts: its
/// `/etc` is a tmpfs, and `/etc/below` another one.
fn on_stage(answer: &Answer, script: &str) -> Output {
    let tmpfs = "mount -t tmpfs -o mode=755 none";
    let stage = format!(
        "{tmpfs} /etc && mkdir /etc/below && {tmpfs} /etc/below && \
         echo one >/etc/file && echo two >/etc/below/file && echo stage"
    );
    let answers = format!("answer() {{ {} \"$@\"; }}", answer.shell());
    let mut output =
        on_shared_mounts(answer.role(), &format!("{stage} || exit; {answers}; {script}"));
    let Some(said) = output.stdout.strip_prefix("stage\n") else { panic!("no stage: {output:?}") };
    output.stdout = said.to_owned();
    output
}

/// What `script` says, whose status must be 0.
fn say(answer: &Answer, script: &str) -> Result<String, Mismatch> {
    let output = on_stage(answer, script);
    let found = match output.status {
        0 => "0".to_owned(),
        status => format!("status {status}, {:?}", output.stderr),
    };
    expect(&format!("the end of `{script}`"), 0, found)?;
    Ok(output.stdout.trim().to_owned())
}

/// What `command` says on the stage before the program runs, when it is what the program runs, and
/// afterwards.
fn three(answer: &Answer, command: &str) -> Result<[String; 3], Mismatch> {
    let said = say(answer, &format!("{command}; echo =; answer {command}; echo =; {command}"))?;
    let parts: Vec<_> = said.split("=\n").map(ToOwned::to_owned).collect();
    Ok(parts.try_into().expect("there are two lines between"))
}

/// How two lists of mounts differ.
fn changes(before: &str, after: &str) -> String {
    let beside = |list: &str, other: &str| {
        let lines = list.lines().filter(|line| !other.lines().any(|known| known == *line));
        lines.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let gone = beside(before, after).into_iter().map(|line| format!("\n    gone: {line}"));
    let new = beside(after, before).into_iter().map(|line| format!("\n    new:  {line}"));
    let changes: String = gone.chain(new).collect();
    if changes.is_empty() { "as before".to_owned() } else { changes }
}
