// Microsoft's own KQL parser and binder: unknown columns, functions, operators and types are diagnostics.
//   node check.js FOLDER < {"tables": {name: "(a: string, ...)"}, "queries": [text]}
// FOLDER holds node_modules. Writes a JSON list: for each query {"messages": [...], "columns": {name: type}}.
const path = require('path');
const home = path.join(process.argv[2], 'node_modules', '@kusto', 'language-service-next');
require(path.join(home, 'bridge.min.js'));
require(path.join(home, 'Kusto.Language.Bridge.min.js'));
const {Symbols, GlobalState, KustoCode} = Kusto.Language;
const input = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const tables = Object.entries(input.tables).map(([name, columns]) => Symbols.TableSymbol.From(columns).WithName(name));
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor('workspace', tables));
const answers = input.queries.map(query => {
  const code = KustoCode.ParseAndAnalyze(query, globals);
  const found = code.GetDiagnostics();
  const messages = [];
  for (let at = 0; at < found.Count; at++) {
    const one = found.getItem(at);
    messages.push(`${query.slice(0, one.Start).split('\n').length}: ${one.Message} near ${query.substr(one.Start, 60)}`);
  }
  const columns = {};
  const result = code.ResultType;
  if (result && result.Columns) {
    for (let at = 0; at < result.Columns.Count; at++) {
      const column = result.Columns.getItem(at);
      columns[column.Name] = column.Type.Name;
    }
  }
  return {messages, columns};
});
console.log(JSON.stringify(answers));
