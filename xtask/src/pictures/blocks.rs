//! The blocks of efficient networks, as wide as they are: what the zoo builds, drawn.
//!
//! Above: `pictures`. Below: `paper`, the zoo, `taper_cost`. Not here: what single convolutions do (`convolution`).
//! Channels, sizes and multiply-accumulates are read from the graphs, so that a drawing says what would be run.

use anyhow::{Context, Result, bail};
use taper_cost::Cost;
use taper_graph::{Conv, Extent, Graph, NodeId, Op};

use super::paper::{BLUE, GRAY, GREEN, ORANGE, PURPLE, Paper};
use crate::svg::escaped;

const WIDTH: f64 = 860.0;
/// Height of a row, and of the widest tensor in it.
const ROW: f64 = 142.0;
const TALLEST: f64 = 72.0;
/// Where the first tensor of a row is, and the distance of the next.
const LEFT: f64 = 292.0;
const STEP: f64 = 128.0;
/// Width of a tensor's bar.
const BAR: f64 = 14.0;

/// A block to draw: what it is called, the network, and its scope there.
struct Shown {
    name: &'static str,
    network: &'static str,
    scope: &'static str,
}

const BLOCKS: [Shown; 6] = [
    Shown { name: "bottleneck (ResNet-50)", network: "resnet50", scope: "layer1.1" },
    Shown {
        name: "depthwise separable (MobileNetV1)",
        network: "mobilenetv1_100",
        scope: "blocks.1.1",
    },
    Shown {
        name: "inverted residual (MobileNetV2)",
        network: "mobilenetv2_100",
        scope: "blocks.2.1",
    },
    Shown {
        name: "with squeeze-and-excite (MobileNetV3)",
        network: "mobilenetv3_large_100",
        scope: "blocks.2.1",
    },
    Shown { name: "fused (EfficientNetV2)", network: "tf_efficientnetv2_b0", scope: "blocks.1.1" },
    Shown {
        name: "universal (MobileNetV4)",
        network: "mobilenetv4_conv_medium",
        scope: "blocks.1.0",
    },
];

/// A convolution on the main path of a block.
struct Step {
    words: String,
    color: &'static str,
    macs: u64,
    out: [usize; 3],
}

/// A block as it is drawn.
struct Block {
    input: [usize; 3],
    steps: Vec<Step>,
    /// Multiply-accumulates of the gate, if there is one: it works on one number a channel.
    gate: Option<u64>,
    residual: bool,
    params: u64,
    macs: u64,
}

/// One row a block: tensors as bars, as high as they have channels, convolutions between them.
pub(super) fn blocks() -> Result<String> {
    let height = 52.0 + ROW * BLOCKS.len() as f64;
    let mut paper = Paper::new([WIDTH, height], "Blocks of efficient networks, and what they cost");
    paper.note(
        [24.0, 26.0],
        12.0,
        "bars: channels of each tensor; below an arrow: million multiply-accumulates",
    );
    for (i, shown) in BLOCKS.iter().enumerate() {
        let block = Block::read(shown).with_context(|| format!("block of {}", shown.network))?;
        block.draw(&mut paper, 44.0 + ROW * i as f64, shown);
    }
    Ok(paper.end())
}

impl Block {
    fn read(shown: &Shown) -> Result<Self> {
        let architecture = taper_zoo::architecture(shown.network)?;
        let (graph, size) = (architecture.graph(1000)?, architecture.input_size);
        let (extents, costs) =
            (graph.extents(size, size)?, taper_cost::of(&graph, [size, size])?.nodes);
        let scope = graph.find_scope(shown.scope).context("the network has no such scope")?;
        let nodes: Vec<NodeId> = scope.nodes().collect();
        let first = nodes.iter().find(|id| matches!(graph.node(**id).op(), Op::Conv(_)));
        let from = graph.node(*first.context("no convolution")?).inputs()[0];
        let mut block = Self {
            input: map(extents[from.index()])?,
            steps: Vec::new(),
            gate: None,
            residual: false,
            params: sum(&costs, &nodes, |cost| cost.params.0),
            macs: sum(&costs, &nodes, |cost| cost.forward.macs.0),
        };
        for id in nodes {
            block.add(&graph, id, extents[id.index()], costs[id.index()].forward.macs.0)?;
        }
        Ok(block)
    }

    fn add(&mut self, graph: &Graph, id: NodeId, extent: Extent, macs: u64) -> Result<()> {
        match graph.node(id).op() {
            Op::Conv(conv) => {
                let out = map(extent)?;
                if out[0] == 1 && out[1] == 1 {
                    *self.gate.get_or_insert(0) += macs;
                } else {
                    self.steps.push(Step::new(conv, macs, out));
                }
            }
            Op::Add => self.residual = true,
            _ => {}
        }
        Ok(())
    }

    fn draw(&self, paper: &mut Paper, top: f64, shown: &Shown) {
        let bottom = top + ROW - 34.0;
        paper.note([24.0, top + 46.0], 14.0, shown.name);
        let (params, macs) = (thousands(self.params), millions(self.macs));
        paper.note([24.0, top + 68.0], 12.0, &format!("{params} parameters, {macs} MMAC"));
        paper.note([24.0, top + 86.0], 11.0, &format!("{} {}", shown.network, shown.scope));
        let widest = self.steps.iter().map(|step| step.out[2]).chain([self.input[2]]).max();
        let scale = TALLEST / widest.unwrap_or(1) as f64;
        bar(paper, [LEFT, bottom], self.input, scale);
        for (i, step) in self.steps.iter().enumerate() {
            let x = LEFT + STEP * i as f64;
            let middle = x + BAR + (STEP - BAR) / 2.0;
            paper.arrow([x + BAR + 6.0, bottom - 16.0], [x + STEP - 6.0, bottom - 16.0]);
            colored(paper, [middle, bottom - 22.0], step.color, &step.words);
            paper.words([middle, bottom - 2.0], 11.0, &millions(step.macs));
            bar(paper, [x + STEP, bottom], step.out, scale);
        }
        self.draw_gate(paper, bottom);
        if self.residual {
            let x = LEFT + STEP * self.steps.len() as f64 + BAR / 2.0;
            let (from, high) = (LEFT + BAR / 2.0, bottom - TALLEST - 22.0);
            paper.put(format!(
                "<path d=\"M{from:.1} {:.1}V{high:.1}H{x:.1}V{:.1}\" fill=\"none\" stroke=\"{GRAY}\" \
                 stroke-dasharray=\"4 3\"/>",
                bottom - self.input[2] as f64 * scale - 18.0,
                bottom - self.steps.last().map_or(0, |step| step.out[2]) as f64 * scale - 18.0,
            ));
            paper.words([x + 10.0, high + 5.0], 14.0, "+");
        }
    }

    /// The gate stands over the tensor it scales: the one before the last convolution.
    fn draw_gate(&self, paper: &mut Paper, bottom: f64) {
        if let Some(macs) = self.gate {
            let x = LEFT + STEP * (self.steps.len() - 1) as f64 + BAR + 38.0;
            let words = format!("× gate ({})", millions(macs));
            colored(paper, [x, bottom - TALLEST + 8.0], PURPLE, &words);
        }
    }
}

impl Step {
    fn new(conv: &Conv, macs: u64, out: [usize; 3]) -> Self {
        let [h, w] = conv.window.kernel;
        let stride = match conv.window.stride[0] {
            1 => String::new(),
            stride => format!("/{stride}"),
        };
        let (kind, color) = match (conv.groups > 1, h * w) {
            (true, _) => (" depthwise", ORANGE),
            (false, 1) => ("", BLUE),
            (false, _) => (" dense", GREEN),
        };
        Self { words: format!("{h}x{w}{stride}{kind}"), color, macs, out }
    }
}

fn map(extent: Extent) -> Result<[usize; 3]> {
    match extent {
        Extent::Map { h, w, c } => Ok([h, w, c]),
        Extent::Vector { .. } => bail!("a block works on maps"),
    }
}

fn sum(costs: &[Cost], nodes: &[NodeId], of: impl Fn(&Cost) -> u64) -> u64 {
    nodes.iter().map(|id| of(&costs[id.index()])).sum()
}

/// A tensor, its channels above and its size below it.
fn bar(paper: &mut Paper, [x, bottom]: [f64; 2], [h, w, c]: [usize; 3], scale: f64) {
    let height = c as f64 * scale;
    paper.put(format!(
        "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{BAR}\" height=\"{height:.1}\" rx=\"2\" fill=\"{GRAY}\" \
         fill-opacity=\"0.55\"/>",
        bottom - height
    ));
    paper.words([x + BAR / 2.0, bottom - height - 5.0], 12.0, &c.to_string());
    paper.words([x + BAR / 2.0, bottom + 14.0], 10.0, &format!("{h}x{w}"));
}

fn colored(paper: &mut Paper, [x, y]: [f64; 2], color: &str, words: &str) {
    paper.put(format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\" font-size=\"12\" fill=\"{color}\">{}</text>",
        escaped(words)
    ));
}

fn millions(count: u64) -> String {
    let count = count as f64 / 1e6;
    if count < 10.0 { format!("{count:.2}") } else { format!("{count:.1}") }
}

fn thousands(count: u64) -> String {
    format!("{:.1} thousand", count as f64 / 1e3)
}
