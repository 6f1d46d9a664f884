//! The columns of `sstat`: each name of `--format` is one entry.

use muster_model::ids::StepId;

use super::super::format::truncate;
use super::super::measured::Of::{self, Max, Mean, Min, Total};
use super::super::measured::{Figures, IN, Kind, OUT};
use super::super::sacct::format::{Style, abs, cut, pad};
use super::Row;

/// One column.
#[derive(Debug)]
pub(super) struct Field {
    name: &'static str,
    /// Negative for text to the left.
    width: i32,
    text: fn(&Row<'_>) -> String,
}

const fn field(name: &'static str, width: i32, text: fn(&Row<'_>) -> String) -> Field {
    Field { name, width, text }
}

/// Columns without `--format`.
pub(super) const DEFAULT: &str = "jobid,maxvmsize,maxvmsizenode,maxvmsizetask,avevmsize,maxrss,maxrssnode,maxrsstask,averss,maxpages,maxpagesnode,maxpagestask,avepages,mincpu,mincpunode,mincputask,avecpu,ntasks,avecpufreq,reqcpufreqmin,reqcpufreqmax,reqcpufreqgov,consumedenergy,maxdiskread,maxdiskreadnode,maxdiskreadtask,avediskread,maxdiskwrite,maxdiskwritenode,maxdiskwritetask,avediskwrite,tresusageinave,tresusageinmax,tresusageinmaxn,tresusageinmaxt,tresusageinmin,tresusageinminn,tresusageinmint,tresusageintot,tresusageoutave,tresusageoutmax,tresusageoutmaxn,tresusageoutmaxt,tresusageoutmin,tresusageoutminn,tresusageoutmint,tresusageouttot";

/// Columns of `--pidformat`.
pub(super) const PIDS: &str = "jobid,nodelist,pids";

/// Widest column.
const WIDTH_MAX: i64 = 1 << 16;

fn transferred(row: &Row<'_>, kind: Kind, of: Of) -> String {
    row.figures.amount(kind, of).map(|bytes| (row.memory)(bytes)).unwrap_or_default()
}

fn frequency(row: &Row<'_>) -> String {
    if matches!(row.step.step_id, StepId::Number(_)) { "Unknown" } else { "0" }.to_owned()
}

fn zero(_: &Row<'_>) -> String {
    "0".to_owned()
}

/// All columns, in the order of `--helpformat`.
static FIELDS: &[Field] = &[
    field("AveCPU", 10, |row| row.figures.text(Kind::Cpu, Mean)),
    field("AveCPUFreq", 10, zero),
    field("AveDiskRead", 12, |row| transferred(row, Kind::Read, Mean)),
    field("AveDiskWrite", 12, |row| transferred(row, Kind::Written, Mean)),
    field("AvePages", 10, |row| row.figures.text(Kind::Pages, Mean)),
    field("AveRSS", 10, |row| row.figures.text(Kind::Rss, Mean)),
    field("AveVMSize", 10, |row| row.figures.text(Kind::Vm, Mean)),
    field("ConsumedEnergy", 14, |row| row.figures.energy()),
    field("ConsumedEnergyRaw", 17, |row| row.figures.text(Kind::Energy, Total)),
    field("JobID", -12, |row| format!("{}.{}", row.step.job_id, row.step.step_id)),
    field("MaxDiskRead", 12, |row| transferred(row, Kind::Read, Max)),
    field("MaxDiskReadNode", 15, |row| row.figures.node(Kind::Read, Max)),
    field("MaxDiskReadTask", 15, |row| row.figures.task(Kind::Read, Max)),
    field("MaxDiskWrite", 12, |row| transferred(row, Kind::Written, Max)),
    field("MaxDiskWriteNode", 16, |row| row.figures.node(Kind::Written, Max)),
    field("MaxDiskWriteTask", 16, |row| row.figures.task(Kind::Written, Max)),
    field("MaxPages", 8, |row| row.figures.text(Kind::Pages, Max)),
    field("MaxPagesNode", 12, |row| row.figures.node(Kind::Pages, Max)),
    field("MaxPagesTask", 14, |row| row.figures.task(Kind::Pages, Max)),
    field("MaxRSS", 10, |row| row.figures.text(Kind::Rss, Max)),
    field("MaxRSSNode", 10, |row| row.figures.node(Kind::Rss, Max)),
    field("MaxRSSTask", 10, |row| row.figures.task(Kind::Rss, Max)),
    field("MaxVMSize", 10, |row| row.figures.text(Kind::Vm, Max)),
    field("MaxVMSizeNode", 14, |row| row.figures.node(Kind::Vm, Max)),
    field("MaxVMSizeTask", 14, |row| row.figures.task(Kind::Vm, Max)),
    field("MinCPU", 10, |row| row.figures.text(Kind::Cpu, Min)),
    field("MinCPUNode", 10, |row| row.figures.node(Kind::Cpu, Min)),
    field("MinCPUTask", 10, |row| row.figures.task(Kind::Cpu, Min)),
    field("Nodelist", 20, |row| row.nodes.to_owned()),
    field("NTasks", 8, |row| row.step.tasks.to_string()),
    field("Pids", 20, |row| row.pids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
    field("ReqCPUFreq", 13, frequency),
    field("ReqCPUFreqMin", 13, frequency),
    field("ReqCPUFreqMax", 13, frequency),
    field("ReqCPUFreqGov", 13, frequency),
    field("TRESUsageInAve", 14, |row| row.figures.list(IN, Mean)),
    field("TRESUsageInMax", 14, |row| row.figures.list(IN, Max)),
    field("TRESUsageInMaxNode", 18, |row| row.figures.node_list(IN, Max)),
    field("TRESUsageInMaxTask", 18, |row| row.figures.task_list_of_sstat(IN, Max)),
    field("TRESUsageInMin", 14, |row| row.figures.list(IN, Min)),
    field("TRESUsageInMinNode", 18, |row| row.figures.node_list(IN, Min)),
    field("TRESUsageInMinTask", 18, |row| row.figures.task_list_of_sstat(IN, Min)),
    field("TRESUsageInTot", 14, |row| row.figures.list(IN, Total)),
    field("TRESUsageOutAve", 15, |row| row.figures.list(OUT, Mean)),
    field("TRESUsageOutMax", 15, |row| row.figures.list(OUT, Max)),
    field("TRESUsageOutMaxNode", 19, |row| row.figures.node_list(OUT, Max)),
    field("TRESUsageOutMaxTask", 19, |row| row.figures.task_list(OUT, Max)),
    field("TRESUsageOutMin", 15, |row| row.figures.list(OUT, Min)),
    field("TRESUsageOutMinNode", 19, |row| row.figures.node_list(OUT, Min)),
    field("TRESUsageOutMinTask", 19, |row| row.figures.task_list(OUT, Min)),
    field("TRESUsageOutTot", 15, |row| row.figures.list(OUT, Total)),
];

/// What `--helpformat` prints: all names, four on a line, padded.
pub(super) fn help_format() -> String {
    let line =
        |chunk: &[Field]| chunk.iter().map(|field| format!("{:<19}", field.name)).collect::<Vec<_>>().join(" ") + "\n";
    FIELDS.chunks(4).map(line).collect()
}

/// The columns of a table.
#[derive(Debug)]
pub(super) struct Format {
    columns: Vec<(&'static Field, i32)>,
}

impl Format {
    /// Reads `name[%[-]width],…`; a name may be cut.
    ///
    /// # Errors
    /// A name that no column begins with.
    pub(super) fn read(text: &str) -> Result<Format, String> {
        let column = |token: &str| -> Result<(&'static Field, i32), String> {
            let (name, width) = match token.split_once('%') {
                Some((name, width)) => (name, crate::grammar::numbers::leading_or_zero(width)),
                None => (token, 0),
            };
            let begins =
                |field: &&Field| field.name.get(..name.len()).is_some_and(|front| front.eq_ignore_ascii_case(name));
            let field = FIELDS.iter().find(begins).ok_or_else(|| name.to_owned())?;
            let width = width.clamp(-WIDTH_MAX, WIDTH_MAX) as i32;
            Ok((field, if width == 0 { field.width } else { width }))
        };
        let columns = text.split(',').filter(|token| !token.is_empty()).map(column).collect::<Result<_, _>>()?;
        Ok(Format { columns })
    }

    /// The headings.
    pub(super) fn header(&self, style: &Style) -> String {
        let names = || self.columns.iter().map(|(field, _)| field.name.to_owned());
        match style {
            Style::Table => {
                let heading = |(field, width): &(&Field, i32)| pad(truncate(field.name, abs(*width)), *width);
                let names: String = self.columns.iter().map(heading).collect();
                let dashes: String =
                    self.columns.iter().map(|(_, width)| format!("{} ", "-".repeat(abs(*width)))).collect();
                format!("{names}\n{dashes}\n")
            }
            _ => style.join(names()),
        }
    }

    /// The line of `row`.
    pub(super) fn row(&self, row: &Row<'_>, style: &Style) -> String {
        let texts = self.columns.iter().map(|(field, _)| (field.text)(row));
        match style {
            Style::Table => {
                let cells = texts.zip(&self.columns).map(|(text, (_, width))| pad(&cut(&text, abs(*width)), *width));
                cells.collect::<String>() + "\n"
            }
            _ => style.join(texts),
        }
    }
}

/// What is printed of one step, or of its part on one node.
pub(super) fn figures<'a>(
    measured: muster_model::measure::Measured,
    node_list: &str,
    memory: &'a dyn Fn(u64) -> String,
) -> Figures<'a> {
    Figures::new(std::borrow::Cow::Owned(measured), node_list, memory)
}
