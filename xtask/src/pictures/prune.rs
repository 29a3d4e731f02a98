//! What can only be pruned together, drawn: the groups of MobileNetV2, and one channel of a residual sum in the weights around it.
//!
//! Above: `pictures`. Below: `paper`, `svg`, `taper_prune`, `taper_report::Bands`, the zoo. Not here: what pruning costs in accuracy, which
//! is measured.

use anyhow::{Context, Result};
use taper_graph::{Bias, Conv, Graph, GraphBuilder, NodeId, Op};
use taper_prune::{Groups, Protect, UnitId};
use taper_report::{BandColumn, BandPiece, Bands, Chart};

use super::paper::{BLUE, GRAY, Grid, ORANGE, Paper};
use crate::svg::text;

/// A column for every convolution and the classifier, in the color of its group.
pub(super) fn bands() -> Result<String> {
    let graph = taper_zoo::architecture("mobilenetv2_100")?.graph(1000)?;
    let groups = Groups::of(&graph, &Protect::default())?;
    let layers = graph.node_ids().filter(|id| {
        matches!(graph.node(*id).op(), Op::Input { .. } | Op::Conv(_) | Op::Linear { .. })
    });
    let columns = layers.map(|id| column(&groups, id)).collect();
    let title = "MobileNetV2: channels of neighbors in one color go together".to_owned();
    let bands = Bands { title, step: "layers, from the image to the classes".to_owned(), columns };
    Ok(Chart::from(bands).to_svg()? + "\n")
}

fn column(groups: &Groups, id: NodeId) -> BandColumn {
    let mut pieces: Vec<BandPiece> = Vec::new();
    for unit in groups.of_node(id) {
        let Some(group) = groups.group_of(*unit) else { continue };
        match pieces.iter_mut().find(|piece| piece.group == group) {
            Some(piece) => piece.channels += 1,
            None => {
                let protected = groups.groups()[group].protected.as_ref().map(ToString::to_string);
                pieces.push(BandPiece { group, channels: 1, removed: 0, protected });
            }
        }
    }
    BandColumn { name: groups.graph().node(id).name().to_owned(), pieces }
}

/// A projection, an inverted residual that is added to it, and the layer that reads the sum.
fn residual() -> taper_graph::Result<Graph> {
    let mut b = GraphBuilder::new(6)?;
    let first = b.conv("project", b.input(), Conv::pointwise(4), Bias::Without)?;
    let xs = b.conv("expand", first, Conv::pointwise(6), Bias::Without)?;
    let xs = b.conv("depthwise", xs, Conv::depthwise(6, 1, 1), Bias::Without)?;
    let xs = b.conv("project again", xs, Conv::pointwise(4), Bias::Without)?;
    let sum = b.add("sum", first, xs)?;
    let end = b.conv("next", sum, Conv::pointwise(6), Bias::Without)?;
    b.output("features", end)?;
    b.build()
}

const CELL: f64 = 20.0;
const TOP: f64 = 112.0;

/// The weights of that graph as grids, a row a filter, and in color what goes with a channel of the sum and with one of the expansion.
pub(super) fn sum() -> Result<String> {
    let graph = residual()?;
    let groups = Groups::of(&graph, &Protect::default())?;
    let unit = |node: &str, channel: usize| -> Result<UnitId> {
        let id = graph.find_node(node).with_context(|| format!("no node {node}"))?;
        groups.of_node(id).get(channel).copied().with_context(|| format!("no channel of {node}"))
    };
    let marked = [(unit("sum", 1)?, BLUE), (unit("expand", 4)?, ORANGE)];
    let mut paper = Paper::new([820.0, 290.0], "What goes with a channel of a residual sum");
    paper.colored(
        [24.0, 28.0],
        13.0,
        BLUE,
        "one channel of the sum: rows of both projections, columns of all that read it",
    );
    paper.colored(
        [24.0, 48.0],
        13.0,
        ORANGE,
        "one channel of the expansion: its row, its depthwise filter, a column of the projection",
    );
    let (mut left, mut places) = (36.0, Vec::new());
    for id in graph.node_ids().skip(1) {
        let width = draw(&mut paper, &groups, id, [left, TOP], &marked);
        places.push((graph.node(id).name(), left, left + width));
        left += width + 44.0;
    }
    for pair in places.windows(2) {
        paper.arrow([pair[0].2 + 6.0, TOP + 3.0 * CELL], [pair[1].1 - 6.0, TOP + 3.0 * CELL]);
    }
    let find = |name: &str| places.iter().find(|place| place.0 == name);
    let (first, sum) = (find("project").context("a start")?, find("sum").context("an end")?);
    let (from, to, above) = (first.2 + 16.0, 0.5 * (sum.1 + sum.2), TOP - 28.0);
    let middle = TOP + 3.0 * CELL;
    paper.put(format!(
        "<path d=\"M{from:.1} {middle:.1}V{above:.1}H{to:.1}\" fill=\"none\" stroke=\"{GRAY}\" stroke-width=\"1.5\"/>"
    ));
    paper.arrow([to, above], [to, TOP + CELL - 4.0]);
    paper.put(text([0.5 * (from + to), above - 5.0], "middle", 12.0, "shortcut"));
    Ok(paper.end())
}

/// A node's weight, or its channels where it has none, centered on one line; returns its width.
fn draw(
    paper: &mut Paper,
    groups: &Groups,
    id: NodeId,
    [left, top]: [f64; 2],
    marked: &[(UnitId, &str); 2],
) -> f64 {
    let node = groups.graph().node(id);
    let (rows, cols) = match node.params().first() {
        Some(&weight) => (
            groups.of_axis(weight, 0).unwrap_or_default(),
            groups.of_axis(weight, 1).unwrap_or_default(),
        ),
        None => (groups.of_node(id), &[][..]),
    };
    let at = [left, top + CELL * (6 - rows.len()) as f64 / 2.0];
    let grid = Grid::new(at, [rows.len(), cols.len().max(1)], CELL);
    grid.draw(paper, |_| String::new());
    for (row, unit) in rows.iter().enumerate() {
        for col in 0..grid.cols {
            let colors = marked.iter().filter(|(it, _)| it == unit || cols.get(col) == Some(it));
            colors.for_each(|(_, color)| grid.fill(paper, [row, col], color, 0.6));
        }
    }
    let width = grid.cols as f64 * CELL;
    let below = top + 6.0 * CELL + 24.0;
    paper.words([left + width / 2.0, below], 13.0, node.name());
    let shape = match node.params().first() {
        Some(&weight) => groups.graph().param(weight).shape.iter().take(2).map(ToString::to_string),
        None => return width,
    };
    let shape = shape.collect::<Vec<_>>().join(" x ");
    paper.words([left + width / 2.0, below + 18.0], 11.0, &shape);
    width
}
