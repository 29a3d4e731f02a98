//! The colors of pages and charts, in light and in dark, and the style sheets that use them.
//!
//! Above: `page`, `drawing`. Below: nothing. Not here: which part of a drawing has which class.
//! A page has the colors as CSS variables. A picture of its own has them written out, as not every viewer of SVG knows variables.

/// Name, light and dark. Source of the series: Okabe and Ito 2008, "Color Universal Design", told apart without seeing red or
/// green; each theme has the six that stand out from its card, the last is gray.
const COLORS: [(&str, &str, &str); 14] = [
    ("paper", "#f6f6f4", "#16181b"),
    ("card", "#ffffff", "#1e2124"),
    ("line", "#e4e4e0", "#2f3338"),
    ("ink", "#1f2328", "#e4e6e8"),
    ("soft", "#5c6169", "#9aa0a8"),
    ("accent", "#3b6ea5", "#7fb0e0"),
    ("track", "#eceeef", "#2a2e33"),
    ("series-0", "#0072b2", "#56b4e9"),
    ("series-1", "#d55e00", "#e69f00"),
    ("series-2", "#009e73", "#00b584"),
    ("series-3", "#cc79a7", "#cc79a7"),
    ("series-4", "#e69f00", "#f0e442"),
    ("series-5", "#56b4e9", "#d55e00"),
    ("series-6", "#7a7f87", "#8b9199"),
];

/// Series with a color of their own; others are gray.
pub(crate) const SERIES: usize = 6;

const PAGE: &str = include_str!("page/page.css");
const CHART: &str = include_str!("page/chart.css");

#[derive(Clone, Copy)]
enum Theme {
    Light,
    Dark,
}

/// The style sheet of a [`Page`](crate::Page): colors as CSS variables in light and in dark, and the classes of its parts.
#[must_use]
pub fn page() -> String {
    let [light, dark] = [Theme::Light, Theme::Dark].map(variables);
    let series = series();
    format!(
        ":root {{{light} }}\n@media (prefers-color-scheme: dark) {{ :root {{{dark} }} }}\n{PAGE}{CHART}{series}"
    )
}

/// The style sheet of a drawing of its own.
pub(crate) fn drawing() -> String {
    let rules = format!("{CHART}{}", series());
    let [light, dark] = [Theme::Light, Theme::Dark].map(|theme| written_out(&rules, theme));
    format!("{light}@media (prefers-color-scheme: dark) {{\n{dark}}}\n")
}

fn variables(theme: Theme) -> String {
    COLORS.iter().map(|color| format!(" --{}: {};", color.0, theme.of(color))).collect()
}

fn written_out(rules: &str, theme: Theme) -> String {
    COLORS.iter().fold(rules.to_owned(), |rules, color| {
        rules.replace(&format!("var(--{})", color.0), theme.of(color))
    })
}

fn series() -> String {
    let rule = |i: usize| {
        let color = format!("var(--series-{i})");
        format!(".fill-{i} {{ fill: {color}; }}\n.stroke-{i} {{ stroke: {color}; }}\n")
    };
    (0..=SERIES).map(rule).collect()
}

impl Theme {
    fn of(self, (_, light, dark): &(&'static str, &'static str, &'static str)) -> &'static str {
        match self {
            Self::Light => light,
            Self::Dark => dark,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance. Source: WCAG 2.2.
    fn luminance(color: &str) -> f64 {
        let part = |at: usize| {
            let part = f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap()) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let [a, b] = [luminance(a), luminance(b)];
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn color(name: &str, theme: Theme) -> &'static str {
        theme.of(COLORS.iter().find(|color| color.0 == name).unwrap())
    }

    #[test]
    fn words_and_series_stand_out_from_their_card() {
        for theme in [Theme::Light, Theme::Dark] {
            let card = color("card", theme);
            for (name, least) in [("ink", 7.0), ("soft", 4.5), ("accent", 3.0)] {
                let contrast = contrast(color(name, theme), card);
                assert!(contrast >= least, "{name}: {contrast}");
            }
            for i in 0..=SERIES {
                let contrast = contrast(color(&format!("series-{i}"), theme), card);
                assert!(contrast >= 2.2, "series {i}: {contrast}");
            }
        }
    }

    #[test]
    fn a_drawing_has_its_colors_written_out_in_both_themes() {
        let css = drawing();
        assert!(!css.contains("var("), "{css}");
        assert!(css.contains("#0072b2") && css.contains("#56b4e9"));
        assert!(page().contains("--series-6: #7a7f87;"));
    }
}
