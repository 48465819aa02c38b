//! The MQTT client id of the platform, taken apart.

/// Longest client id before the bar, in characters.
const MAX_CLIENT_ID: usize = 64;

/// The client id taken apart: `<id>|name=value,…|`.
pub(crate) struct ClientId<'a> {
    pub(crate) id: &'a str,
    whole: &'a str,
    params: Vec<(&'a str, &'a str)>,
}

impl<'a> ClientId<'a> {
    /// Takes `text` apart. The error says what is missing and repeats nothing of the text.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        let form = "its form is <clientId>|securemode=…,signmethod=…,timestamp=…|";
        let Some((id, rest)) = text.split_once('|') else {
            return Err(format!("the client id has no bars: {form}"));
        };
        let Some(inside) = rest.strip_suffix('|') else {
            return Err(format!("the client id does not end with a bar: {form}"));
        };
        if id.is_empty() {
            return Err(format!(
                "the client id is empty before the first bar: {form}"
            ));
        }
        if id.chars().count() > MAX_CLIENT_ID {
            let limit = format!("the limit is {MAX_CLIENT_ID}");
            return Err(format!(
                "the client id before the first bar is too long: {limit}"
            ));
        }
        let mut params: Vec<(&str, &str)> = Vec::new();
        // The vendor's SDK leaves a comma before the last bar, and the platform takes it.
        for part in inside.split(',').filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                let place = "one of the parameters between the bars";
                return Err(format!("{place} is not of the form name=value"));
            };
            // The vendor's Python package puts bars into a value, and the platform takes that too.
            if name.contains('|') {
                return Err(format!("the client id has more than two bars: {form}"));
            }
            if params.iter().any(|(known, _)| *known == name) {
                return Err("a parameter between the bars of the client id is given twice".into());
            }
            params.push((name, value));
        }
        Ok(Self {
            id,
            whole: text,
            params,
        })
    }

    /// The client id with its bars.
    pub(crate) fn whole(&self) -> &'a str {
        self.whole
    }

    /// Value of a parameter between the bars.
    pub(crate) fn param(&self, name: &str) -> Option<&'a str> {
        let found = self.params.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }
}
