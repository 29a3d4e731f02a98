//! Pictures of what was seen as files, under names that a file system can hold.
//!
//! Above: `look`. Below: `taper_report`, `taper_files`. Not here: drawing (`look::inspector`), the page (`look::page`).
//! The names of layers and pictures come from anywhere, so nothing of them but letters, digits, `-`, `_` and `.` enters a
//! path, and a number stands before them.

use std::path::{Path, PathBuf};

use taper_graph::Graph;
use taper_report::Picture;

use crate::error::{Error, Result};
use crate::look::inspector::{Channel, Inspection};
use crate::look::layers::Layer;
use crate::report::{Look, LookLayer};

/// The shorter side that small pictures are enlarged to, pixels.
const TILE: usize = 96;

/// Tiles in a row.
const COLUMNS: usize = 8;

/// White pixels between tiles.
const GAP: usize = 4;

/// Letters of a name that are kept.
const LONGEST: usize = 60;

/// Small pictures, enlarged, in rows.
pub(crate) fn sheet<'p>(pictures: impl Iterator<Item = &'p Picture>) -> Picture {
    let tiles: Vec<Picture> = pictures.map(|picture| picture.at_least(TILE)).collect();
    Picture::sheet(&tiles, COLUMNS, GAP)
}

/// Writes what was seen of the picture that came as number `number`, counted from 1.
pub(crate) fn write(
    out: &Path,
    number: usize,
    image: &Path,
    graph: &Graph,
    layers: &[Layer],
    seen: &Inspection,
) -> Result<Look> {
    let stem = image.file_stem().unwrap_or_default().to_string_lossy();
    let folder = out.join(format!("{number}-{}", plain(&stem)));
    let numbered = (1..).zip(layers.iter().zip(&seen.layers));
    let layers = numbered.map(|(number, (layer, channels))| {
        let file = folder.join(format!("{number}-{}.png", plain(&layer.name)));
        Ok(LookLayer {
            name: layer.name.clone(),
            node: graph.node(layer.node).name().to_owned(),
            shape: layer.shape,
            channels: channels.iter().map(|channel| channel.index).collect(),
            picture: png(file, &maps(channels))?,
        })
    });
    Ok(Look {
        image: image.display().to_string(),
        predictions: seen.predictions.clone(),
        numbers: seen.numbers.clone(),
        class: seen.class.clone(),
        input: png(folder.join("input.png"), &seen.input)?,
        heat_map: png(folder.join("heat-map.png"), &seen.heat)?,
        layers: layers.collect::<Result<_>>()?,
    })
}

fn maps(channels: &[Channel]) -> Picture {
    sheet(channels.iter().map(|channel| &channel.picture))
}

/// Writes a picture.
pub(crate) fn png(path: PathBuf, picture: &Picture) -> Result<PathBuf> {
    let bytes = picture.to_png().map_err(|source| Error::Draw { source })?;
    replace(path, &bytes)
}

/// Writes a file aside and renames it; folders are made.
pub(crate) fn replace(path: PathBuf, bytes: &[u8]) -> Result<PathBuf> {
    match taper_files::replace(&path, |file| file.write_all(bytes)) {
        Ok(()) => Ok(path),
        Err(source) => Err(Error::File { action: "write", path, source }),
    }
}

/// A name without anything that means something in a path.
fn plain(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    name.chars().take(LONGEST).map(|c| if is_plain(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_the_folder() {
        assert_eq!(plain("../../etc/passwd"), "..-..-etc-passwd");
        assert_eq!(plain("blocks.1.0_x-y"), "blocks.1.0_x-y");
        assert_eq!(plain("C:\\a b"), "C--a-b");
        assert_eq!(plain(&"x".repeat(1000)).len(), LONGEST);
    }

    #[test]
    fn a_sheet_has_rows_of_eight_enlarged_tiles() {
        let tile = Picture::new(7, 7, vec![0; 147]).unwrap();
        let sheet = sheet(std::iter::repeat_n(&tile, 9));
        let side = 7 * 14 + GAP;
        assert_eq!((sheet.height(), sheet.width()), (2 * side + GAP, 8 * side + GAP));
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = replace(file.join("look.html"), b"").unwrap_err();
        assert!(error.to_string().contains("look.html"), "{error}");
    }
}
