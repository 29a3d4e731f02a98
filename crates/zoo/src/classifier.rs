//! From the last map to the logits.
//!
//! Above: the families. Below: `taper_graph`. Not here: convolutions between map and classifier (`mobile::head`, `vgg`).

use taper_graph::{Bias, GraphBuilder, NodeId, PoolKind, Result, ScopeKind};

/// Names the output `features`, pools it and names the output `pre_logits`.
pub(crate) fn pool(b: &mut GraphBuilder, name: &str, features: NodeId) -> Result<NodeId> {
    b.output("features", features)?;
    let pooled =
        b.scope(ScopeKind::Head, "head", |b| b.global_pool(name, features, PoolKind::Avg, true))?;
    b.output("pre_logits", pooled)?;
    Ok(pooled)
}

/// Dropout unless its probability is 0, and a linear layer, which names the output `logits`; `names` in that order.
pub(crate) fn classify(
    b: &mut GraphBuilder,
    names: [&str; 2],
    pre_logits: NodeId,
    dropout: f64,
    classes: usize,
) -> Result<()> {
    let logits = b.scope(ScopeKind::Classifier, "classifier", |b| {
        let xs = match dropout {
            p if p > 0.0 => b.dropout(names[0], pre_logits, p)?,
            _ => pre_logits,
        };
        b.linear(names[1], xs, classes, Bias::With)
    })?;
    b.output("logits", logits)
}
