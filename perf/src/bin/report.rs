//! Makes the pages and plots of `perf/` from result files.
//!
//! `report OUT_DIR PERF_DIR` reads `ROW.SERVER.json` as `run.sh` leaves them and writes `REPORT.md`, `SCALING.md` and
//! `plots/`. A figure that is missing is shown as missing, never as passed. `report --peers` prints the peers, a line
//! each, with tabs between name, build, start and what it speaks (mpp or quic).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tutti_perf::{curves, figures::Figures, peers, report, rows, scaling};

fn main() -> Result<()> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    match &args[..] {
        [flag] if flag == Path::new("--peers") => {
            for peer in peers::read(Path::new("perf/peers/peers.toml"))? {
                let speaks = match peer.speaks {
                    peers::Speaks::Mpp => "mpp",
                    peers::Speaks::Quic => "quic",
                };
                println!("{}\t{}\t{}\t{speaks}", peer.name, peer.build, peer.start);
            }
            Ok(())
        }
        [out, perf] => {
            let figures = Figures::read(out)?;
            let plots = curves::plots(&figures);
            let folder = perf.join("plots");
            fs::create_dir_all(&folder)?;
            for plot in &plots {
                write(&folder.join(format!("{}.svg", plot.name)), &plot.svg)?;
            }
            write(&perf.join("REPORT.md"), &report::page(&figures, &plots))?;
            write(&perf.join("SCALING.md"), &scaling::page(&figures))?;
            print!("{}", rows::table(&figures));
            Ok(())
        }
        _ => anyhow::bail!("report OUT_DIR PERF_DIR, or report --peers"),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| path.display().to_string())
}
