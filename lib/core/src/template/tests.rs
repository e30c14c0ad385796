//! Templates beside what Go makes of them.

use serde_json::{Value as Json, json};

use super::*;

const SCHEMA: Schema = Schema {
    maps: &["Labels", "NilMap"],
    lists: &["Layers", "Cmd", "Env"],
    fields: &[
        Field { within: "Config", name: "User", key: "user", zero: Zero::Text },
        Field { within: "Config", name: "Ports", key: "ports", zero: Zero::Map },
        Field { within: "", name: "Health", key: "health", zero: Zero::Pointer },
    ],
};

fn data() -> Json {
    json!({
        "Name": "app", "Layers": ["a", "b", "c"], "Labels": {"z": "1", "a": "2"}, "NilMap": null,
        "Config": {"Env": ["PATH=/bin", "X=1"], "Cmd": null, "Tty": false}, "Size": 12,
        "Yes": true, "Ratio": 0.5, "Digest": "sha256:0123456789abcdef0123", "Empty": "",
        "Html": "<a href=\"x\">'&</a>", "Steps": [{"By": "one", "Empty": true}, {"By": "two"}],
        "Big": 18_446_744_073_709_551_615_u64, "Huge": 1e21, "Wörter": "grün",
    })
}

fn filled(template: &str) -> String {
    fill(template, &data(), &SCHEMA).unwrap_or_else(|error| format!("ERROR {}", error.chain()))
}

#[track_caller]
fn check(cases: &[(&str, &str)]) {
    for (template, expected) in cases {
        assert_eq!(filled(template), *expected, "{template}");
    }
}

#[track_caller]
fn check_errors(cases: &[(&str, &str)]) {
    for (template, part) in cases {
        let found = filled(template);
        assert!(found.starts_with("ERROR invalid template: "), "{template}: {found}");
        assert!(found.contains(part), "{template}: {found}");
    }
}

#[test]
fn fields_and_how_values_look() {
    check(&[
        ("{{.Name}}", "app"),
        ("{{ .Name }}:{{.Size}} {{.Yes}} {{.Ratio}}", "app:12 true 0.5"),
        ("{{.Layers}} {{.Labels}}", "[a b c] map[a:2 z:1]"),
        ("{{.Config}}", "{[PATH=/bin X=1] [] false}"),
        ("{{.Config.Cmd}}{{.NilMap}}{{.Health}}", "[]map[]<nil>"),
        ("{{.Config.User}}|{{.Config.Ports}}", "|map[]"),
        ("{{.Labels.z}} {{.Labels.nope}} {{.Labels.nope.deeper}}", "1 <no value> <no value>"),
        ("{{.NilMap.x}}", "<no value>"),
        ("{{.Big}} {{.Huge}}", "18446744073709551615 1e+21"),
        ("{{.Wörter}}", "grün"),
        ("{{(index .Steps 0).By}} {{.Steps}}", "one [{one true} {two}]"),
        ("{{$.Name}} {{with .Config}}{{$.Name}}{{end}}", "app app"),
        (
            "{{1}} {{-7}} {{0x1F}} {{0b101}} {{0o17}} {{017}} {{1_000}} {{1.5}} {{1e3}} {{'a'}}",
            "1 -7 31 5 15 15 1000 1.5 1000 97",
        ),
        ("{{\"q\\n\\t\\\"\\x41\\u00e9\"}}{{`raw\\n`}}", "q\n\t\"Aéraw\\n"),
        ("{{true}} {{false}}", "true false"),
        ("no action", "no action"),
        ("", ""),
    ]);
}

#[test]
fn control() {
    check(&[
        ("{{if .Yes}}y{{else}}n{{end}}{{if .Empty}}y{{else}}n{{end}}", "yn"),
        ("{{if .Config.Cmd}}c{{else if .Yes}}y{{else}}n{{end}}", "y"),
        ("{{if .Config.Cmd}}c{{else if .Empty}}y{{else}}n{{end}}", "n"),
        ("{{if 0}}a{{else if 0.0}}b{{else if \"\"}}c{{else if .NilMap}}d{{else}}e{{end}}", "e"),
        ("{{with .Config}}{{len .Env}}{{end}}{{with .Empty}}x{{else}}none{{end}}", "2none"),
        ("{{with .Empty}}x{{else with .Name}}{{.}}{{end}}", "app"),
        ("{{with $c := .Config}}{{$c.Tty}}{{end}}", "false"),
        ("{{range .Layers}}<{{.}}>{{end}}", "<a><b><c>"),
        ("{{range $i, $l := .Layers}}{{$i}}={{$l}} {{$.Name}};{{end}}", "0=a app;1=b app;2=c app;"),
        ("{{range $l := .Layers}}{{$l}}{{end}}", "abc"),
        ("{{range $k, $v := .Labels}}{{$k}}{{$v}}{{end}}", "a2z1"),
        (
            "{{range .NilMap}}x{{else}}none{{end}}{{range .Config.Cmd}}x{{else}}none{{end}}",
            "nonenone",
        ),
        ("{{range 3}}{{.}}{{end}}{{range $i := 2}}{{$i}}{{end}}", "01201"),
        ("{{range .Layers}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}", "ac"),
        ("{{range .Layers}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}", "a"),
        ("{{range .Layers}}{{range $.Layers}}{{break}}{{end}}{{.}}{{end}}", "abc"),
    ]);
}

#[test]
fn variables() {
    check(&[
        ("{{$a := .Name}}{{$a}}", "app"),
        ("{{$a := 1}}{{$a = 2}}{{$a}}", "2"),
        ("{{$a := 1}}{{if true}}{{$a = 2}}{{end}}{{$a}}", "2"),
        ("{{$a := 1}}{{if true}}{{$a := 2}}{{$a}}{{end}}{{$a}}", "21"),
        ("{{$last := \"\"}}{{range .Layers}}{{$last = .}}{{end}}{{$last}}", "c"),
        ("{{$c := .Config}}{{$c.Env}}{{(index $c.Env 0)}}", "[PATH=/bin X=1]PATH=/bin"),
        ("{{range $i, $_ := .Layers}}{{if $i}},{{end}}{{$i}}{{end}}", "0,1,2"),
    ]);
    check_errors(&[
        ("{{$x}}", "undefined variable \"$x\""),
        ("{{$x = 1}}", "undefined variable \"$x\""),
        ("{{if true}}{{$x := 1}}{{end}}{{$x}}", "undefined variable \"$x\""),
        ("{{range $i := .Layers}}{{end}}{{$i}}", "undefined variable \"$i\""),
        ("{{$a, $b := .Layers}}", "too many declarations"),
    ]);
}

#[test]
fn white_space_and_comments() {
    check(&[
        ("a {{- .Name -}} \n b", "aappb"),
        ("a {{.Name -}}\t b", "a appb"),
        ("a{{/* nothing */}}b", "ab"),
        ("a {{- /* nothing }} */ -}} b", "ab"),
        ("{{ -3 }} {{- 3}}", "-33"),
        ("{{\n.Name\n}}", "app"),
        ("{{.Name\n|\nupper}}", "APP"),
        ("{{\"}}\"}}{{`}}`}}", "}}}}"),
        ("{ {{.Name}} }", "{ app }"),
    ]);
}

#[test]
fn pipelines() {
    check(&[
        ("{{.Layers | json}}", "[\"a\",\"b\",\"c\"]"),
        ("{{.Name | upper | printf \"%s-%s\" \"x\"}}", "x-APP"),
        ("{{.Name | printf \"%s-%s\" \"x\"}}", "x-app"),
        ("{{(.Name)}} {{((.Name))}} {{(index .Layers 0)}} {{(.Config).Tty}}", "app app a false"),
        ("{{index (split .Digest \":\") 1 | len}}", "20"),
        ("{{(split .Digest \":\") | json}}", "[\"sha256\",\"0123456789abcdef0123\"]"),
        ("{{printf \"%v\" (len .Layers)}}", "3"),
        ("{{$x := .Layers | len}}{{$x}}", "3"),
    ]);
}

#[test]
fn comparison_and_logic() {
    check(&[
        (
            "{{eq .Name \"app\"}} {{eq .Name \"a\" \"b\" \"app\"}} {{eq .Name \"a\"}}",
            "true true false",
        ),
        (
            "{{ne .Name \"app\"}} {{eq .Size 12}} {{eq .Yes true}} {{eq .Ratio 0.5}}",
            "false true true true",
        ),
        ("{{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 1 2}}", "true true false false"),
        ("{{lt \"a\" \"b\"}} {{gt (len .Layers) 0}} {{lt .Ratio 1.5}}", "true true true"),
        (
            "{{eq .Labels.nope \"x\"}} {{ne .Labels.nope \"x\"}} {{eq .Labels.nope nil}}",
            "false true true",
        ),
        ("{{eq .Big .Big}} {{gt .Big 1}}", "true true"),
        (
            "{{and .Yes .Name}} {{and .Empty .Name}}|{{or .Empty .Name}} {{or .Empty \"\"}}|",
            "app |app |",
        ),
        ("{{or .Labels.nope \"default\"}} {{and .Labels.nope \"x\"}}", "default <no value>"),
        ("{{not .Yes}} {{not .Empty}} {{not .Labels.nope}}", "false true true"),
        ("{{or .Yes (index .Layers 99)}}", "true"),
        ("{{if and .Yes (eq .Name \"app\" \"b\")}}ok{{end}}", "ok"),
    ]);
    check_errors(&[
        ("{{eq .Name 1}}", "incompatible types for comparison"),
        ("{{eq .Name}}", "missing argument for comparison"),
        ("{{lt .Yes false}}", "invalid type for comparison"),
        ("{{lt 1 1.5}}", "incompatible types for comparison"),
        ("{{eq .Labels .Labels}}", "non-comparable type"),
        ("{{not 1 2}}", "wrong number of args for not: want 1 got 2"),
    ]);
}

#[test]
fn functions() {
    check(&[
        (
            "{{len .Name}} {{len .Layers}} {{len .Labels}} {{len .NilMap}} {{len .Config.Cmd}}",
            "3 3 2 0 0",
        ),
        (
            "{{index .Labels \"z\"}}{{index .Labels \"none\"}}{{index .Layers 1}}{{index .NilMap \"x\"}}",
            "1b",
        ),
        ("{{index .Steps 1 | json}}", "{\"By\":\"two\"}"),
        (
            "{{slice .Digest 7 19}} {{slice .Digest 7}} {{slice .Name}}",
            "0123456789ab 0123456789abcdef0123 app",
        ),
        ("{{slice .Layers 1}} {{slice .Layers 0 2}} {{slice .Layers 1 2 3}}", "[b c] [a b] [b]"),
        ("{{html .Html}}", "&lt;a href=&#34;x&#34;&gt;&#39;&amp;&lt;/a&gt;"),
        ("{{.Html | js}}", "\\u003Ca href\\u003D\\\"x\\\"\\u003E\\'\\u0026\\u003C/a\\u003E"),
        ("{{urlquery \"a b/ü&\"}}", "a+b%2F%C3%BC%26"),
        ("{{print .Name .Name 1 2 .Name}}", "appapp1 2app"),
        ("{{println .Name .Size}}", "app 12\n"),
        (
            "{{json .Labels}} {{json .Config}} {{json .Labels.nope}} {{json .NilMap}}",
            "{\"a\":\"2\",\"z\":\"1\"} {\"Env\":[\"PATH=/bin\",\"X=1\"],\"Cmd\":null,\"Tty\":false} null null",
        ),
        ("{{json .Html}}", "\"<a href=\\\"x\\\">'&</a>\""),
        ("{{join .Config.Env \",\"}} {{join .Config.Cmd \",\"}}|", "PATH=/bin,X=1 |"),
        ("{{join (split \"a.b.c\" \".\") \"-\"}}", "a-b-c"),
        (
            "{{title \"hello big world\"}} {{upper \"aé\"}} {{lower \"AÉ\"}}",
            "Hello Big World AÉ aé",
        ),
        (
            "{{truncate .Name 2}}{{truncate .Name 20}}{{pad .Name 1 2}}|{{pad .Empty 1 2}}|",
            "apapp app  ||",
        ),
        ("{{.Labels | len}}", "2"),
    ]);
    check_errors(&[
        ("{{exec \"rm\"}}", "function \"exec\" not defined"),
        ("{{join .Layers}}", "wrong number of args for join: want 2 got 1"),
        ("{{index .Layers 3}}", "error calling index: index out of range: 3"),
        ("{{index .Layers -1}}", "index out of range: -1"),
        ("{{index .Labels 1}}", "value has type int; should be string"),
        ("{{index .Labels.nope 1}}", "index of untyped nil"),
        ("{{index .Config \"Env\"}}", "can't index item of type struct"),
        ("{{slice .Name 2 9}}", "index out of range: 9"),
        ("{{slice .Name 2 1}}", "invalid slice index: 2 > 1"),
        ("{{slice .Name 1 2 3}}", "cannot 3-index slice a string"),
        ("{{len .Size}}", "len of type int"),
        ("{{len .Labels.nope}}", "len of nil pointer"),
        ("{{upper .Size}}", "expected string; got int"),
        ("{{call .Name}}", "non-function of type string"),
    ]);
}

#[test]
fn printf_as_in_go() {
    for (form, expected) in [
        (r#""%.12s" .Digest"#, "sha256:01234"),
        (r#""%20s|" .Name"#, "                 app|"),
        (r#""%-20s|" .Name"#, "app                 |"),
        (r#""%.2s|%5.1s|" .Name .Name"#, "ap|    a|"),
        (
            r#""%q %+q %x %X % x %#x" .Name .Wörter .Name .Name .Name .Name"#,
            "\"app\" \"gr\\u00fcn\" 617070 617070 61 70 70 0x617070",
        ),
        (r#""%d %5d|%-5d|%05d|%+d|% d" 1 2 3 4 5 6"#, "1     2|3    |00004|+5| 6"),
        (
            r#""%x %X %#x %o %O %b %c %U %q" 255 255 255 8 8 5 65 65 65"#,
            "ff FF 0xff 10 0o10 101 A U+0041 'A'",
        ),
        (r#""%.3d|%8.3d|%08d" 7 7 -7"#, "007|     007|-0000007"),
        (
            r#""%f %.2f %8.2f|%e %g %G" 1.5 1.555 1.5 150000.0 0.00001 1e21"#,
            "1.500000 1.55     1.50|1.500000e+05 1e-05 1E+21",
        ),
        (
            r#""%v %v %v %v %v" 1e20 1234567.0 123456.0 0.1 0.00001"#,
            "1e+20 1.234567e+06 123456 0.1 1e-05",
        ),
        (r#""%t %v %5t|" .Yes false true"#, "true false  true|"),
        (
            r#""%v %+v %v" .Config .Config .Labels"#,
            "{[PATH=/bin X=1] [] false} {Env:[PATH=/bin X=1] Cmd:[] Tty:false} map[a:2 z:1]",
        ),
        (r#""%q %s %x" .Layers .Layers .Layers"#, "[\"a\" \"b\" \"c\"] [a b c] [61 62 63]"),
        (r#""%T %T %T %T %T" .Name 1 1.5 true .Layers"#, "string int float64 bool []string"),
        (r#""%*d|%-*d|%.*f" 5 1 5 2 1 2.55"#, "    1|2    |2.5"),
        (r#""%[2]s %[1]s" "a" "b""#, "b a"),
        (r#""%[1]s %[1]q" "a""#, "a \"a\""),
        (r#""%%" "#, "%"),
        (r#""100%""#, "100%!(NOVERB)"),
        (r#""%s""#, "%!s(MISSING)"),
        (r#""a" 1 "b""#, "a%!(EXTRA int=1, string=b)"),
        (r#""%d" .Name"#, "%!d(string=app)"),
        (r#""%s" 5"#, "%!s(int=5)"),
        (r#""%z" 5"#, "%!z(int=5)"),
        (r#""%s %v" .Labels.nope .Labels.nope"#, "%!s(<nil>) <nil>"),
        (r#""%[9]s" "a""#, "%!s(BADINDEX)"),
        (r#""%99999999999d" 1"#, "%!(BADWIDTH)1"),
        (r#""%s" .Big"#, "%!s(uint64=18446744073709551615)"),
    ] {
        assert_eq!(filled(&format!("{{{{printf {form}}}}}")), expected, "{form}");
    }
}

#[test]
fn named_templates() {
    check(&[
        ("{{define \"x\"}}<{{.}}>{{end}}{{template \"x\" .Name}}{{template \"x\" 1}}", "<app><1>"),
        ("{{template \"x\"}}{{define \"x\"}}{{.}}{{end}}", "<no value>"),
        ("{{block \"b\" .Name}}[{{.}}]{{end}}{{template \"b\" .Size}}", "[app][12]"),
        ("{{define \"x\"}}{{$}}{{end}}{{with .Config}}{{template \"x\" $.Name}}{{end}}", "app"),
        ("{{define \"b\"}}other{{end}}{{block \"b\" .}}own{{end}}", "other"),
    ]);
    check_errors(&[
        ("{{template \"x\"}}", "template \"x\" not defined"),
        ("{{define \"x\"}}{{template \"x\"}}{{end}}{{template \"x\"}}", "maximum template depth"),
        ("{{define \"x\"}}{{$a}}{{end}}", "undefined variable"),
        ("{{$a := 1}}{{define \"x\"}}{{$a}}{{end}}", "undefined variable"),
        ("{{define}}{{end}}", "missing name"),
        ("{{define \"x\"}}", "without {{end}}"),
        ("{{template .Name}}", "unexpected <.Name> in template"),
    ]);
}

#[test]
fn mistakes_are_told_with_their_place() {
    check_errors(&[
        (
            "{{.Nam}}",
            "line 1, column 3: at <.Nam>: can't evaluate field Nam (known fields: Health, Name, Layers",
        ),
        ("a\n {{.Config.Nope}}", "line 2, column 4: at <.Config.Nope>: can't evaluate field Nope"),
        ("{{.Name.x}}", "can't evaluate field x in type string"),
        ("{{.Layers.x}}", "can't evaluate field x in type []string"),
        ("{{.Health.Status}}", "nil pointer evaluating .Status"),
        ("{{.Name", "unclosed action"),
        ("{{.Name}", "unexpected '}' in action"),
        ("{{\"x}}", "unterminated quoted string"),
        ("{{/* x }}", "unclosed comment"),
        ("{{/* x */ y}}", "comment ends before closing delimiter"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{else}}", "unexpected {{else}}"),
        ("{{range .Layers}}", "{{range}} without {{end}}"),
        ("{{if .Yes}}{{else}}{{else}}{{end}}", "expected end; found {{else}}"),
        ("{{if}}x{{end}}", "missing value for if"),
        ("{{}}", "missing value for command"),
        ("{{.Name | }}", "missing value for command"),
        ("{{| .Name}}", "missing value for command"),
        ("{{range .Name}}{{end}}", "range can't iterate over app"),
        ("{{.Name \"x\"}}", "can't give argument to non-function .Name"),
        ("{{\"x\" | .Name}}", "can't give argument to non-function .Name"),
        ("{{.Name | \"x\"}}", "non executable command in pipeline"),
        ("{{nil}}", "nil is not a command"),
        ("{{\"a\"\"b\"}}", "unexpected \"b\" in operand"),
        ("{{(.Name}}", "unclosed left paren"),
        ("{{.Name)}}", "unexpected right paren"),
        ("{{break}}", "{{break}} outside {{range}}"),
        ("{{end x}}", "unexpected <x> in end"),
        ("{{if .Yes}}{{else .Name}}{{end}}", "unexpected <.Name> in else"),
        ("{{1x}}", "bad number syntax"),
        ("{{99999999999999999999}}", "overflows int"),
        ("{{\"\\z\"}}", "unknown escape"),
        ("{{.Name, 1}}", "unexpected \",\""),
    ]);
}

#[test]
fn rows_of_tables() {
    let row =
        Template::parse_row("{{.Name}}\\t{{upper .Name}}\\n{{json .Size}}{{\"\\t\"}}").unwrap();
    assert_eq!(row.fill(&data(), &SCHEMA).unwrap(), "app\tAPP\n12\t");
    let titles = json!({"Name": "NAMES", "Size": "SIZE"});
    assert_eq!(row.fill_titles(&titles).unwrap(), "NAMES\tNAMES\nSIZE\t");
    let row =
        Template::parse_row("{{join (split .Name \",\") \"x\"}}{{truncate .Name 1}}").unwrap();
    assert_eq!(row.fill_titles(&titles).unwrap(), "NAMESNAMES");
}

#[test]
fn nothing_runs_or_grows_without_end() {
    let deep = format!("{{{{{}1{}}}}}", "(".repeat(10_000), ")".repeat(10_000));
    assert!(filled(&deep).contains("nested too deeply"), "{}", filled(&deep));
    let nested = "{{range .}}".repeat(100) + "x" + &"{{end}}".repeat(100);
    assert!(filled(&nested).contains("nested too deeply"));
    let list: Json = vec![vec![1; 3000]; 3000].into();
    let fails = |template: &str, data: &Json| fill(template, data, &Schema::default()).is_err();
    assert!(fails("{{range .}}{{range .}}{{.}}{{end}}{{end}}", &list));
    assert!(fails("{{range 100000000}}{{range 100000000}}{{end}}{{end}}", &list));
    let doubling = "{{$a := \"0123456789\"}}{{range 60}}{{$a = print $a $a}}{{end}}";
    assert!(fails(doubling, &list));
    assert!(fails("{{$a := printf \"%900000d\" 1}}{{range 60}}{{printf \"%s\" $a}}{{end}}", &list));
    assert!(fails(&"x".repeat(MAX_TEMPLATE + 1), &list));
}
