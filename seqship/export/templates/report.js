// Sorts and filters the table of every case; without this script the table is whole, worst first.
(() => {
  const table = document.getElementById('case-table');
  if (!table) return;
  const body = table.tBodies[0];
  const form = document.getElementById('case-filter'), shown = document.getElementById('case-shown');
  const number = new Intl.NumberFormat('en'), words = new Intl.Collator('en', {numeric: true});
  // What is asked of a row at every key press is read from the page once.
  let rows = [...body.rows].map(row => ({
    row,
    data: row.dataset,
    text: (row.dataset.case + ' ' + row.textContent).toLowerCase(),
    keys: [...row.cells].map(cell => cell.dataset.v === undefined ? cell.textContent.trim() : Number(cell.dataset.v)),
  }));
  const compare = (a, b) => typeof a === 'number' && typeof b === 'number'
    ? (a < b ? -1 : a > b ? 1 : 0) : words.compare(a, b);
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const before = head.getAttribute('aria-sort');
      const down = before ? before === 'ascending' : head.classList.contains('number');
      for (const other of heads) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
      rows = rows.sort((a, b) => (down ? -1 : 1) * compare(a.keys[column], b.keys[column]));
      body.append(...rows.map(one => one.row));
    });
  });
  const selects = [...form.querySelectorAll('select')];
  const filter = () => {
    const wanted = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const {row, data, text} of rows) {
      const keep = selects.every(select => !select.value || data[select.name] === select.value)
        && wanted.every(word => text.includes(word));
      row.hidden = !keep;
      count += keep;
    }
    shown.textContent = `${number.format(count)} of ${number.format(rows.length)} shown`;
  };
  form.addEventListener('input', filter);
  form.addEventListener('reset', event => {
    event.preventDefault();  // The browser empties the fields only after this.
    for (const field of [form.elements.text, ...selects]) field.value = '';
    filter();
  });
  form.addEventListener('submit', event => event.preventDefault());
  form.hidden = false;
  filter();
})();
