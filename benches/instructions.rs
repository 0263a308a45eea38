//! Holds the parts to the instructions that they may take: counted by valgrind, and so the same on a busy machine.
//!
//! ```text
//! cargo bench -p tutti --bench instructions                 counts, and fails when a case is over its limit
//! cargo bench -p tutti --bench instructions -- decode       only cases whose name contains a word
//! cargo bench -p tutti --bench instructions -- --set        counts, and writes the limits anew
//! ```
//!
//! The limits are in `benches/instructions.toml`: 10 % above what was counted when they were set. The compiler is
//! pinned, so what moves a count is the code, its dependencies, or the C library's copying, which is a small part. What
//! the compiler inlines depends on all that is compiled with it, which moves small cases by up to 5 %.

mod cases;

use anyhow::{Context, Result, bail, ensure};
use cases::{CASES, Case};
use std::{
    collections::BTreeMap,
    env, fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

// What the server allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Times that a case is done before it is counted, so that buffers have their size.
const WARM_UP: u32 = 5;
/// Times that it is counted.
const STEPS: u32 = 10;
/// How far a limit is above what was counted when it was set, in percent.
const HEADROOM: u64 = 10;

const HEAD: &str = "\
# The most instructions that each case of benches/cases may take.
# `cargo bench -p tutti --bench instructions` counts and compares.
# With `-- --set` behind it, it writes this anew.
# Who raises a limit says in the commit what the instructions are spent on.
";

fn main() -> Result<ExitCode> {
    let mut arguments: Vec<String> =
        env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [flag, name] = &arguments[..]
        && flag == "--count"
    {
        run(name)?;
        return Ok(ExitCode::SUCCESS);
    }
    let set = arguments.iter().position(|argument| argument == "--set");
    let set = set.map(|at| arguments.remove(at)).is_some();
    let chosen: Vec<&Case> = CASES
        .iter()
        .filter(|case| arguments.iter().all(|word| case.name.contains(word.as_str())))
        .collect();
    ensure!(!chosen.is_empty(), "no case has {} in its name", arguments.join(" and "));

    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.toml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut limits: BTreeMap<String, u64> = toml::from_str(&text)?;
    let mut faults = Vec::new();
    println!("{:<32} {:>12} {:>12} {:>8}", "instructions", "counted", "limit", "of it");
    for case in chosen {
        let counted = count(case.name)?;
        let limit = limits.get(case.name).copied().unwrap_or(0);
        let share = 100.0 * counted as f64 / limit.max(1) as f64;
        println!("{:<32} {counted:>12} {limit:>12} {share:>6.1} %", case.name);
        if limit == 0 {
            faults.push(format!("{:?} has no limit yet, and takes {counted}", case.name));
        } else if counted > limit {
            let (over, before) = (counted - limit, limit * 100 / (100 + HEADROOM));
            faults.push(format!(
                "{:?} takes {counted} instructions, {over} more than its limit of {limit}; \
                 about {before} when that was set, so it moved by {:+.1} %",
                case.name,
                100.0 * (counted as f64 / before as f64 - 1.0)
            ));
        }
        if set {
            limits.insert(case.name.to_owned(), counted * (100 + HEADROOM) / 100);
        }
    }
    let unknown = |name: &&String| CASES.iter().all(|case| case.name != name.as_str());
    let unknown: Vec<String> = limits.keys().filter(unknown).cloned().collect();
    if set {
        limits.retain(|name, _| !unknown.contains(name));
        fs::write(&path, format!("{HEAD}{}", toml::to_string(&limits)?))?;
        println!("limits written to {}", path.display());
        return Ok(ExitCode::SUCCESS);
    }
    faults.extend(unknown.iter().map(|name| format!("{name:?} has a limit and is no case")));
    if faults.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{}", faults.join("\n"));
    println!(
        "Make it cheaper; or, where that is the price of something wanted, raise the limit in \
         benches/instructions.toml, by hand or with\n  \
         cargo bench -p tutti --bench instructions -- --set NAME\n\
         and say in the commit what the instructions are spent on."
    );
    Ok(ExitCode::FAILURE)
}

/// What one step of a case takes.
fn count(name: &str) -> Result<u64> {
    let out = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*counted_steps*")
        .arg(env::current_exe()?)
        .args(["--count", name])
        .output()
        .context("valgrind cannot be started; Debian's package is called valgrind")?;
    let said = String::from_utf8_lossy(&out.stderr);
    if !out.status.success() {
        bail!("{name:?} failed under valgrind:\n{said}");
    }
    let counted = said.lines().find_map(|line| line.split_once("Collected : "));
    let (_, counted) = counted.with_context(|| format!("valgrind counted nothing:\n{said}"))?;
    let counted: u64 = counted.trim().parse()?;
    ensure!(counted > 0, "valgrind did not see the steps of {name:?}");
    Ok(counted / u64::from(STEPS))
}

/// What valgrind watches.
fn run(name: &str) -> Result<()> {
    let case = CASES.iter().find(|case| case.name == name).context("no such case")?;
    let mut step = (case.step)();
    (0..WARM_UP).for_each(|_| step());
    counted_steps(&mut *step);
    Ok(())
}

/// Counting is on in here, and in what is called from here.
#[inline(never)]
fn counted_steps(step: &mut dyn FnMut()) {
    (0..STEPS).for_each(|_| step());
}
