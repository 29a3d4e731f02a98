//! `taper report`: the page about a run, made anew.
//!
//! Above: `args`. Below: `taper_recipes::report_run`. Not here: the page that a run ends with (`finetune`).

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use taper_recipes::RunReportOptions;

use crate::args::Shared;
use crate::output::Output;
use crate::progress::Progress;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  taper report runs/finetune-1                    writes runs/finetune-1/report.html, also if the run was cut
  taper report my-model/ --data photos/           the pictures have moved")]
pub(crate) struct Flags {
    /// Folder of the run
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Where the pictures are now [default: where they were]
    #[arg(long, value_name = "DIR|FILE")]
    data: Option<PathBuf>,
    /// The page [default: RUN/report.html]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    shared: Shared,
}

/// Runs the command.
pub(crate) fn run(flags: Flags) -> Result<ExitCode> {
    let output = Output::new(flags.shared.json);
    let options = RunReportOptions {
        run: flags.run,
        data: flags.data,
        out: flags.out,
        threads: flags.shared.threads,
    };
    let mut progress = Progress::new(output.clone());
    let report = taper_recipes::report_run(&options, &mut progress);
    progress.end();
    let report = report?;
    for remark in &report.remarks {
        output.say(remark);
    }
    output.say(format!("report: {}", report.page.display()));
    output.json(&report)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches as _};
    use taper_recipes::{
        FineTuneOptions, Freeze, MatmulPrecision, Norms, Numbers, OptimizerKind, Pretrained,
        Sampling, ScheduleKind,
    };

    use crate::finetune;

    #[test]
    fn the_command_on_a_page_asks_for_the_same_run() {
        let options = [
            FineTuneOptions::default(),
            FineTuneOptions {
                data: Some("photos/a".into()),
                model: "lcnet_050".to_owned(),
                pretrained: Pretrained::None,
                epochs: 3,
                lr: Some(0.01),
                optimizer: OptimizerKind::AdamW,
                betas: Some(Numbers(vec![0.8, 0.9])),
                schedule: ScheduleKind::OneCycle,
                freeze: Freeze::Stage("blocks.3".to_owned()),
                augment: "rotate=15,color-jitter=0.4".parse().unwrap(),
                best_by: Some("f1".to_owned()),
                sampling: Sampling::Balanced,
                shards: 4,
                sync_bn: true,
                matmul_precision: MatmulPrecision::Bf16,
                strict: true,
                report: false,
                threads: 2,
                ..FineTuneOptions::default()
            },
            FineTuneOptions {
                freeze: Freeze::all_but("blocks.3,head"),
                norms: Some(Norms::Freeze),
                unfreeze_every: Some(2),
                lr_auto: true,
                ..FineTuneOptions::default()
            },
        ];
        for options in options {
            let command = options.command();
            let words = command.split(' ').skip(1);
            let parser = finetune::Flags::augment_args(Command::new("finetune"));
            let matches = parser.try_get_matches_from(words).unwrap();
            let flags = finetune::Flags::from_arg_matches(&matches).unwrap();
            assert_eq!(flags.said(), options, "{command}");
        }
    }
}
