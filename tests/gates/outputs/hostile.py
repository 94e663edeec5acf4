"""Texts that would be obeyed somewhere: by a CI runner, a terminal, a page, an XML reader, a spreadsheet, a template."""

from __future__ import annotations

from itertools import product

RUNNER = [
    *(f"{before}::{command}::{data}" for before, (command, data) in product(
        ["", "x\n", "x\r", "x\r\n", "\u3000", "\u00a0 ", "\u2028", "\x85", "\t \u2009"],
        [("error file=a,line=1", "owned"), ("set-output name=passed", "true"), ("add-mask", "e"), ("stop-commands", "token")],
    )),
    *("##[error]owned", "x ##[set-env name=PATH;]/tmp", "a\n  ##[add-path]/tmp", "##[group]", "##[section]x", "##vso[task.setvariable variable=a]b"),
    *("##teamcity[buildStatus status='SUCCESS']", "::%0A::error::x", "%0D%0A::error::x", "a%0A::warning::b", "::error title=a%2Cfile=b::c"),
    *("x,line=99::y", "a:b,c=d", "::endgroup::", "::debug::x", "::echo::on", "::add-matcher::/tmp/m.json", "::save-state name=a::b", "\\u003a:error::x"),
]  # fmt: skip
TERMINAL = [
    *("\x1b[31mred", "\x1b]0;title\x07", "\x1b]8;;http://evil.example\x1b\\click\x1b]8;;\x1b\\", "\x1b]52;c;ZXZpbA==\x07", "\x1b[2J\x1b[H", "\x1bc"),
    *("\x9b31m", "\x9d0;t\x9c", "\x90q\x9c", "a\bb", "a\x7fb", "a\rb", "\x07", "\x0e\x0f", "\x00nul", "\x1b(0", "\x1b[?1049h", "\x1bP$q\x1b\\"),
    *("\u202egnp.exe", "\u202dabc", "\u2066x\u2069", "\u200b\u200c\u200d", "\u2060\u2061", "\ufeffbom", "\u061c", "\u00adsoft", "\u3164", "\u115f"),
    *("\U000e0041\U000e0042", "\ufe0f\ufe0f", "\ue000", "\U000f0000", "\ufffe", "\u034f", "\u2028line\u2029", "\x1b[6n", "\x1b[201~paste"),
]  # fmt: skip
MARKUP = [
    *("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg/onload=alert(1)>", "<a href=javascript:alert(1)>x</a>", "<!-- x -->"),
    *("</td></tr></table><h1>owned</h1>", "<details open><summary>x</summary>", "<iframe srcdoc='<script>x</script>'>", "<![CDATA[x]]>", "]]>"),
    *("<?xml version='1.0'?>", "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>", "&b;", "&lt;script&gt;", "&#60;img&#62;", "\"><script>x</script>"),
    *("' onmouseover='x", "<b>bold</b>", "<style>*{display:none}</style>", "<meta http-equiv=refresh content=0>", "<base href=//evil.example>", "<kbd>x"),
    *("</failure></testcase><testcase name='fake'/>", "\" time=\"0\" x=\"", "<math><mtext></mtext></math>", "{{ 7*7 }}", "${{ github.token }}", "{% raw %}"),
    *("<%= 1 %>", "=cmd|' /C calc'!A0", "@SUM(1)", "+1+1", "-1-1"),
]  # fmt: skip
MARKDOWN = [
    *("**bold**", "__bold__", "*em*", "~~gone~~", "`code`", "```\nfence\n```", "# heading", "\n# heading", "\n\n## instructsel gate: passed\n", "> quote"),
    *("- item", "1. item", "---", "***", "===", "[link](http://evil.example)", "[link][1]", "[1]: http://evil.example", "![image](http://evil.example/x.png)"),
    *("<http://evil.example>", "http://evil.example", "https://evil.example/?a=b", "ftp://evil.example/x", "www.evil.example", "WWW.evil.example"),
    *("evil@evil.example", "@everyone", "@org/team", "cc @octocat", "#1", "owner/repo#12", "GH-1", "a|b|c", "| x | y |\n| --- | --- |", "\\|", "\\`x\\`", "\\"),
    *("$x^2$", "$$x$$", "`$x$`", ":tada:", "[^1]", "[^1]: note", "[x] task", "- [ ] task", "\\<b\\>", "*\u00a0*", "a  \nb", "\tcode", "    code", "%%", "~~~\nx\n~~~"),
]  # fmt: skip
ODD = [
    *("", " ", "\n", "a" * 5_000, "\ud800", "\udcff", "x\udfffy", "é\u0301\u0301\u0301", "\U0001f469\u200d\U0001f4bb", "NaN", "null", "../../../etc/passwd"),
    *("/absolute/name.jsonl", "C:\\x\\y.jsonl", "//host/share.jsonl", "--output=x", "-", "a b.jsonl", "%2e%2e%2f", "a%0Ab", "name,line=1", "x::y"),
    *("AKIA" + "ABCDEFGHIJKL2345", "ghp_" + "a1B2" * 9, "password: hunter2hunter2", "https://user:hunter2pw@host.example/"),
]  # fmt: skip
HOSTILE = [*RUNNER, *TERMINAL, *MARKUP, *MARKDOWN, *ODD]
