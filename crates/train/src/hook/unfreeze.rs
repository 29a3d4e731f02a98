//! Gradual unfreezing: more and more of a network is trained, from the last layers to the first.
//!
//! Above: `hook`, `recipes`. Below: `layers::Network`. Not here: which parts a network has (`transfer`).
//! Source: Howard & Ruder 2018 (`ULMFiT`), <https://arxiv.org/abs/1801.06146>, section 3.3.

use std::collections::HashMap;

use taper_layers::Network;

use super::StepHook;
use crate::error::{Error, Result};

/// Holds the parameters of parts of a network until their turn comes: the first part is trained from the first epoch on, the second
/// together with it after so many epochs, and so on. What belongs to no part is trained from the first epoch on.
///
/// What is held is as if it were frozen: it takes no time in the backward pass, its norms keep their statistics, and an optimizer begins its
/// state with the first step that has a gradient of it. What is trained is a function of the epoch alone, so that a run goes on with the same
/// bits.
///
/// # Examples
/// ```
/// use taper_train::{StepHook, Unfreeze};
/// let parts = vec![vec!["classifier.weight".to_owned()], vec!["conv.weight".to_owned()]];
/// let hook = Unfreeze::new(2, parts)?; // the convolution from the third epoch on
/// assert_eq!(hook.describe(), "2 parts unfrozen, one after every 2 epochs");
/// # Ok::<(), taper_train::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Unfreeze {
    every: usize,
    /// By parameter: the number of its part.
    parts: HashMap<String, usize>,
    count: usize,
}

impl Unfreeze {
    /// Parts as names of parameters, the one that is trained first before the others.
    ///
    /// # Errors
    /// [`Error::Setting`] if `every` is 0.
    pub fn new(every: usize, parts: Vec<Vec<String>>) -> Result<Self> {
        if every == 0 {
            let (name, got) = ("every", every.to_string());
            return Err(Error::Setting { name, got, expected: "1 epoch or more" });
        }
        let count = parts.len();
        let numbered = parts.into_iter().zip(0..);
        let parts = numbered.flat_map(|(names, part)| names.into_iter().map(move |it| (it, part)));
        Ok(Self { every, parts: parts.collect(), count })
    }

    /// The epoch, counted from 0, from which on a parameter is trained.
    ///
    /// # Examples
    /// ```
    /// use taper_train::Unfreeze;
    /// let hook = Unfreeze::new(2, vec![vec!["classifier.weight".to_owned()], vec!["conv.weight".to_owned()]])?;
    /// assert_eq!(["classifier.weight", "conv.weight", "of no part"].map(|name| hook.first_epoch(name)), [0, 2, 0]);
    /// # Ok::<(), taper_train::Error>(())
    /// ```
    #[must_use]
    pub fn first_epoch(&self, name: &str) -> usize {
        self.parts.get(name).map_or(0, |part| self.turn(*part))
    }

    /// The epoch, counted from 0, in which a part has its turn.
    fn turn(&self, part: usize) -> usize {
        part.saturating_mul(self.every)
    }

    /// Whether a parameter is held in an epoch, counted from 0.
    ///
    /// # Examples
    /// ```
    /// use taper_train::Unfreeze;
    /// let parts = [["classifier.weight"], ["conv.weight"]].map(|part| part.map(str::to_owned).to_vec());
    /// let hook = Unfreeze::new(2, parts.to_vec())?;
    /// assert!(hook.holds(1, "conv.weight") && !hook.holds(2, "conv.weight"));
    /// assert!(!hook.holds(0, "classifier.weight") && !hook.holds(0, "of no part"));
    /// # Ok::<(), taper_train::Error>(())
    /// ```
    #[must_use]
    pub fn holds(&self, epoch: usize, name: &str) -> bool {
        epoch < self.first_epoch(name)
    }

    /// The fewest epochs of a run in which every part is trained: in the last of them nothing is held.
    ///
    /// # Examples
    /// ```
    /// use taper_train::Unfreeze;
    /// let hook = Unfreeze::new(2, vec![vec!["classifier.weight".to_owned()], vec!["conv.weight".to_owned()]])?;
    /// assert_eq!(hook.epochs(), 3);
    /// assert!(hook.holds(1, "conv.weight") && !hook.holds(2, "conv.weight"));
    /// # Ok::<(), taper_train::Error>(())
    /// ```
    #[must_use]
    pub fn epochs(&self) -> usize {
        self.turn(self.count.saturating_sub(1)).saturating_add(1)
    }
}

impl StepHook for Unfreeze {
    fn describe(&self) -> String {
        format!("{} parts unfrozen, one after every {} epochs", self.count, self.every)
    }

    fn before_epoch(&mut self, epoch: usize, network: &Network) -> Result<()> {
        network.hold(|name| self.holds(epoch, name));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_is_let_go_in_the_last_of_so_many_epochs_and_not_before() {
        for (every, count) in [(1, 1), (1, 4), (3, 4), (5, 2)] {
            let parts = (0..count).map(|part| vec![part.to_string()]).collect();
            let hook = Unfreeze::new(every, parts).unwrap();
            let is_free = |epoch| (0..count).all(|part| !hook.holds(epoch, &part.to_string()));
            let last = hook.epochs() - 1;
            assert!(is_free(last) && (0..last).all(|epoch| !is_free(epoch)), "{every} {count}");
        }
        assert_eq!(Unfreeze::new(2, Vec::new()).unwrap().epochs(), 1);
    }
}
