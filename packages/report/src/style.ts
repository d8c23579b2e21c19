import { sizeParts, type SizePart } from './sizes.js';

/** Colours of the parts in light and dark, told apart by lightness as well as hue. */
const partColors: Readonly<Record<SizePart, readonly [light: string, dark: string]>> = {
  codes: ['#2456c9', '#7ea6ff'],
  scales: ['#0f8a8a', '#4fd1c5'],
  zeros: ['#b7791f', '#f0c674'],
  indices: ['#7b3fb5', '#c59bff'],
  linear: ['#6b7a99', '#8894ad'],
  embedding: ['#d9622b', '#ff9f6b'],
  head: ['#c0397b', '#ff8fbf'],
  norms: ['#3f8f3f', '#86d686'],
  other: ['#8a8f98', '#5f6675'],
};

const parts = (scheme: 0 | 1): string => sizeParts.map((part) => `--part-${part}:${partColors[part][scheme]};`).join('');

/** The page's style: light and dark by the reader's preference, narrow screens, print. */
export const style = `
:root{color-scheme:light dark;--page:#f5f6f9;--surface:#ffffff;--ink:#1a2130;--muted:#566077;--line:#d9dee8;--accent:#2456c9;--good:#17692f;--bad:#a8231b;--heat:#e0702f;--mark:#eef2fc;${parts(0)}}
@media (prefers-color-scheme:dark){:root{--page:#10141c;--surface:#191f2b;--ink:#e8ecf4;--muted:#a6b0c5;--line:#323b4d;--accent:#8db2ff;--good:#79d793;--bad:#ff9d93;--heat:#c25a1e;--mark:#222c42;${parts(1)}}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
.wrap{max-width:66rem;margin:0 auto;padding-inline:1.25rem}
.skip{position:absolute;left:-999rem}
.skip:focus{left:1rem;top:1rem;background:var(--surface);color:var(--accent);padding:.5rem 1rem;z-index:1}
a{color:var(--accent)}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:.25rem}
header{padding-block:2.25rem 1.25rem}
h1{font-size:clamp(1.5rem,1.1rem + 2vw,2.1rem);line-height:1.2;margin:0;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:0 0 .75rem}
h3{font-size:1.02rem;margin:1.5rem 0 .5rem;overflow-wrap:anywhere}
p{margin:.5rem 0;max-width:70ch}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;padding:0;margin:.9rem 0 0}
section{background:var(--surface);border:1px solid var(--line);border-radius:.75rem;padding:1.25rem;margin:0 0 1.25rem}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:1rem;margin:0 0 1.25rem}
.cards>div{background:var(--surface);border:1px solid var(--line);border-radius:.75rem;padding:1rem 1.25rem;min-width:0}
.cards dt{color:var(--muted);font-size:.9rem}
.cards dd{margin:0}
.cards .value{font-size:1.7rem;font-weight:650;line-height:1.3;font-variant-numeric:tabular-nums}
.cards .detail{font-size:.9rem;color:var(--muted);overflow-wrap:anywhere}
.scroll{position:relative;overflow-x:auto;margin:0 -.25rem;padding:0 .25rem}
table{border-collapse:collapse;width:100%;font-size:.94rem}
caption{text-align:left;color:var(--muted);padding:0 0 .6rem;font-size:.9rem}
caption span{display:block;position:sticky;left:0;width:max-content;max-width:min(75ch,calc(100vw - 3.6rem))}
th,td{padding:.5rem .7rem;border-bottom:1px solid var(--line);text-align:right;vertical-align:top;font-variant-numeric:tabular-nums;white-space:nowrap}
thead th{color:var(--muted);font-weight:600;font-size:.88rem;vertical-align:bottom;white-space:normal}
th:first-child,td.text,th.text{text-align:left}
tbody th{font-weight:600;white-space:normal;min-width:8rem;max-width:18rem;overflow-wrap:break-word}
td.hash{white-space:normal;overflow-wrap:anywhere;min-width:12rem}
tbody tr:last-child>*{border-bottom:0}
.scroll th:first-child{position:sticky;left:0;background:var(--surface)}
.scroll tr.original>*{background:var(--mark)}
small{display:block;font-size:.82rem;font-weight:400;color:var(--muted)}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
small.better{color:var(--good)}
small.worse{color:var(--bad)}
.best{font-weight:700}
.cached{font-size:.76rem;font-weight:400;color:var(--muted);border:1px solid var(--line);border-radius:.6rem;padding:0 .4rem}
.heat{width:auto;font-size:.84rem}
.scroll+.scroll{margin-top:1.25rem}
.heat thead th{white-space:normal}
.heat th,.heat td{padding:.3rem .55rem}
.heat tbody th{min-width:0}
.heat td[style]{background:color-mix(in srgb,var(--heat) calc(var(--shade)*62%),var(--surface))}
.key{list-style:none;display:flex;flex-wrap:wrap;gap:.3rem 1.1rem;padding:0;margin:.5rem 0 1rem;font-size:.88rem}
.key i{display:inline-block;width:.85rem;height:.85rem;border-radius:.2rem;margin-right:.4rem;vertical-align:-.08rem}
figure{margin:0 0 1.25rem}
figure svg{display:block;width:100%;height:auto}
figcaption{color:var(--muted);font-size:.9rem;max-width:70ch}
.narrow{display:none}
details{border-top:1px solid var(--line);padding:.25rem 0}
summary{cursor:pointer;padding:.45rem 0;font-weight:600;overflow-wrap:anywhere}
dl.facts{display:grid;grid-template-columns:minmax(7rem,max-content) 1fr;gap:.25rem 1rem;margin:.5rem 0 1rem;font-size:.94rem}
dl.facts dt{color:var(--muted)}
dl.facts dd{margin:0;overflow-wrap:anywhere;min-width:0}
code{font:.9em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
footer{color:var(--muted);font-size:.88rem;padding-block:.25rem 2.5rem}
@media (max-width:46rem){.wrap{padding-inline:.8rem}section{padding:1rem .85rem}.wide{display:none}.narrow{display:block}.cards{grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.7rem}.cards>div{padding:.8rem .9rem}.cards .value{font-size:1.4rem}dl.facts{grid-template-columns:1fr;gap:0}dl.facts dd{margin-bottom:.5rem}}
@media (prefers-contrast:more){:root{--line:currentColor;--muted:var(--ink)}}
@media print{:root{color-scheme:light;--page:#fff;--surface:#fff;--ink:#000;--muted:#444;--line:#bbb;--accent:#1b449f;--good:#17692f;--bad:#a8231b;--heat:#e0702f;--mark:#f0f0f0;${parts(0)}}body{font-size:10.5pt}.skip,nav{display:none}.narrow{display:none}.wide{display:block}figure,tr,.cards>div{break-inside:avoid}section,.cards>div{border-color:#bbb}h2,h3{break-after:avoid}.scroll{overflow:visible}.heat td,.scroll tr.original>*,.key i{print-color-adjust:exact;-webkit-print-color-adjust:exact}details::details-content{content-visibility:visible;block-size:auto}th,td{padding:.2rem .3rem}table{font-size:8pt}thead th,small{font-size:7.5pt}#comparison td{white-space:normal}tbody th{min-width:5rem}}
`;
