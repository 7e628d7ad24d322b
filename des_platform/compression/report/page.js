// Sorts a table by the column whose heading is clicked: numbers the largest first, text from A to Z, then the reverse.
for (const table of document.querySelectorAll("table.files")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const numeric = heading.classList.contains("n");
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const first = numeric ? "descending" : "ascending";
      const order = heading.getAttribute("aria-sort") === first ? (numeric ? "ascending" : "descending") : first;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", order);
      const text = (row) => row.cells[column].textContent;
      const number = (row) => parseFloat(text(row).replace(/[,<]/g, "").replace("\u2212", "-"));
      const key = numeric ? (row) => (isNaN(number(row)) ? -Infinity : number(row)) : text;
      const rows = [...table.tBodies[0].rows].map((row) => [key(row), row]);
      const sign = order === "ascending" ? 1 : -1;
      rows.sort(([a], [b]) => sign * (numeric ? (a > b) - (a < b) : a.localeCompare(b)));
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}
