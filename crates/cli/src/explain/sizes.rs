//! Sizes as they are written on the command line.
//!
//! Above: `explain`. Below: `taper_recipes`. Not here: which sizes fit together (`taper_graph`).

use taper_recipes::{Padding, ReceptiveField};

/// `3x5` (height, width), or `3` for both.
pub(super) fn pair(text: &str) -> Result<[usize; 2], String> {
    let number = |word: &str| {
        let number = word.trim().parse::<usize>();
        number.map_err(|error| {
            format!("`{word}` is no number ({error}); write 3 or 3x5, height first")
        })
    };
    match text.split_once('x') {
        Some((h, w)) => Ok([number(h)?, number(w)?]),
        None => number(text).map(|size| [size; 2]),
    }
}

/// `same`, `valid`, `1`, `1x2`, or `top,left,bottom,right`.
pub(super) fn padding(text: &str) -> Result<Padding, String> {
    match text {
        "same" => return Ok(Padding::Same),
        "valid" => return Ok(Padding::Valid),
        _ => {}
    }
    let sides: Vec<&str> = text.split(',').collect();
    if let [_] = sides[..] {
        let [h, w] = pair(text)?;
        return Ok(Padding::Explicit { top: h, left: w, bottom: h, right: w });
    }
    let sides: Result<Vec<usize>, _> = sides.iter().map(|side| side.trim().parse()).collect();
    match sides.as_deref() {
        Ok(&[top, left, bottom, right]) => Ok(Padding::Explicit { top, left, bottom, right }),
        _ => Err("write same, valid, 1, 1x2 (height, width) or 0,0,1,1 (top, left, bottom, right)"
            .to_owned()),
    }
}

/// `2:7`, or `2x1:7x3`: the jump, and then the field.
pub(super) fn field(text: &str) -> Result<ReceptiveField, String> {
    let number = |word: &str| {
        let number = word.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
        number
            .ok_or_else(|| format!("`{word}` is no positive number; write JUMP:FIELD, such as 2:7"))
    };
    let pair = |text: &str| match text.split_once('x') {
        Some((h, w)) => Ok([number(h)?, number(w)?]),
        None => number(text).map(|size| [size; 2]),
    };
    let (jump, field) = text.split_once(':').ok_or("write JUMP:FIELD, such as 2:7")?;
    Ok(ReceptiveField { jump: pair(jump)?, field: pair(field)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_come_first() {
        assert_eq!(pair("3"), Ok([3, 3]));
        assert_eq!(pair("3x5"), Ok([3, 5]));
        assert!(pair("3x").unwrap_err().contains("height first"));
        assert!(pair("-1").is_err());
    }

    #[test]
    fn padding_has_its_ways() {
        let explicit = |[top, left, bottom, right]: [usize; 4]| {
            Ok(Padding::Explicit { top, left, bottom, right })
        };
        assert_eq!(padding("same"), Ok(Padding::Same));
        assert_eq!(padding("valid"), Ok(Padding::Valid));
        assert_eq!(padding("1"), explicit([1; 4]));
        assert_eq!(padding("1x2"), explicit([1, 2, 1, 2]));
        assert_eq!(padding("0,1,2,3"), explicit([0, 1, 2, 3]));
        assert!(padding("1,2").unwrap_err().contains("top, left"));
    }

    #[test]
    fn fields_are_positive() {
        assert_eq!(field("2:7"), Ok(ReceptiveField { jump: [2.0; 2], field: [7.0; 2] }));
        assert_eq!(field("2x1:7x3"), Ok(ReceptiveField { jump: [2.0, 1.0], field: [7.0, 3.0] }));
        assert!(field("2").is_err() && field("0:7").is_err() && field("2:nan").is_err());
    }
}
